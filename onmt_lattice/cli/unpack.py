"""``onmt_lattice unpack``."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from onmt_lattice.config import Config, option, parse
from onmt_lattice.errors import BitstreamError, UserError, error_prefix
from onmt_lattice.files import check_output, read_bytes


@dataclass(frozen=True, kw_only=True)
class UnpackOptions(Config):
    """Write the vectors of a file of pack to an array of float32.

    example: onmt_lattice unpack -input x.olz -output y.npy
    """

    input: str = option(..., "file of pack; - is standard input", metavar="FILE")
    output: str = option(..., "the array; - is standard output", metavar="FILE")
    codec: str | None = option(None, "the codec, if it is not in the file", metavar="FILE")


def run(argv: list[str]) -> None:
    """Unpack with the options in ``argv``; report what was written on standard error."""
    options = parse("unpack", UnpackOptions, argv)
    check_output(options.output, "-output")
    data = read_bytes(options.input, "-input")

    from onmt_lattice.bitstream.arrays import write_rows
    from onmt_lattice.bitstream.vector_codec import VectorCodec, embedded_codec, vector_file

    codec = None if options.codec is None else VectorCodec.load(options.codec)
    with error_prefix(f"-input {options.input}", BitstreamError):
        codec = codec or embedded_codec(data)
        if codec is None:
            raise UserError(f"-input {options.input}: no codec in it; expected -codec FILE")
        shape = vector_file(data).header.lines, codec.width
        write_rows(options.output, shape, "float32", codec.blocks(data))
    print(f"{shape[0]} vectors of {shape[1]} numbers, to {options.output}", file=sys.stderr)
