"""``onmt_lattice decompress``."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from onmt_lattice.cli.arguments import Parser, check_numbers
from onmt_lattice.errors import UserError
from onmt_lattice.files import output_stream, read_bytes

if TYPE_CHECKING:
    from onmt_lattice.opennmt.text_codec import TextCodec


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice decompress",
        description="Decode a file of compress to text, with the model that it was compressed "
        "with. An empty line comes back as one, and every line ends with a line feed.",
        epilog="example: onmt_lattice decompress -model runs/my/conv64_step_500000.pt "
        "-input test.olz -output test.out",
    )
    p.option("model", required=True, metavar="FILE", help="the checkpoint given to compress")
    p.option("input", required=True, metavar="FILE", help="file of compress; - is standard input")
    p.option("output", required=True, metavar="FILE", help="text to write; - is standard output")
    p.option(
        "line",
        type=int,
        metavar="N",
        help="decode this line alone, from 1; quick where compress was given -alone",
    )
    p.option("beam_size", type=int, default=1, help="1 is greedy (default: 1)")
    p.option(
        "max_length", type=int, default=100, help="longest line decoded, tokens (default: 100)"
    )
    p.option("batch_size", type=int, default=64, help="sentences a batch (default: 64)")
    p.option("gpu", type=int, default=-1, help="CUDA device, or -1 for the CPU (default: -1)")
    return p


def run(argv: list[str]) -> None:
    """Decompress with the options in ``argv``; say on standard error what came of it."""
    args = parser().parse_args(argv)
    check_numbers(vars(args))
    data = read_bytes(args.input, "input")

    from onmt_lattice.bitstream import BitstreamError
    from onmt_lattice.opennmt.text_codec import load_codec

    codec = load_codec(args.model, args.gpu, args.batch_size)
    begin, count = time.monotonic(), 0
    try:
        with output_stream(args.output) as stream:
            for lines in _blocks(codec, data, args):
                stream.write("".join(f"{line}\n" for line in lines).encode())
                count += len(lines)
    except BitstreamError as error:
        raise UserError(f"-input {args.input}: {error}") from error
    rate = count / (time.monotonic() - begin)
    print(f"{len(data)} bytes to {count} lines: {rate:.0f} lines a second", file=sys.stderr)


def _blocks(codec: TextCodec, data: bytes, args: Namespace) -> Iterator[list[str]]:
    search = args.beam_size, args.max_length
    if args.line is None:
        return codec.decompressed(data, *search, progress=True)
    return iter([[codec.decompress_line(data, args.line - 1, *search)]])
