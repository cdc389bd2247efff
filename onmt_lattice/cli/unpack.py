"""``onmt_lattice unpack``."""

from __future__ import annotations

import sys

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output, read_bytes


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice unpack",
        description="Write the vectors of a file of pack as an array of float32, some rows at a "
        "time.",
        epilog="example: onmt_lattice unpack -input x.olz -output y.npy",
    )
    p.option("input", required=True, metavar="FILE", help="file of pack; - is standard input")
    p.option("output", required=True, metavar="FILE", help="the array; - is standard output")
    p.option("codec", metavar="FILE", help="the codec, if it is not in the file")
    return p


def run(argv: list[str]) -> None:
    """Unpack with the options in ``argv``; say on standard error what was written."""
    args = parser().parse_args(argv)
    check_output(args.output, "-output")
    data = read_bytes(args.input, "-input")

    from onmt_lattice.bitstream import BitstreamError
    from onmt_lattice.bitstream.vector_codec import VectorCodec, embedded_codec, vector_file
    from onmt_lattice.opennmt.inference.arrays import write_rows

    given = None if args.codec is None else VectorCodec.load(args.codec)
    try:
        codec = given or embedded_codec(data)
        if codec is None:
            raise UserError(
                f"-input {args.input}: no codec in it; -codec names the file that has it"
            )
        shape = vector_file(data).header.lines, codec.width
        write_rows(args.output, shape, "float32", codec.parts(data))
    except BitstreamError as error:
        raise UserError(f"-input {args.input}: {error}") from error
    print(f"{shape[0]} vectors of {shape[1]} numbers, to {args.output}", file=sys.stderr)
