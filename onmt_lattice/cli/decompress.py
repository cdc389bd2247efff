"""``onmt_lattice decompress``."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator

from onmt_lattice.cli.arguments import Parser, check_numbers
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output, output_stream, read_bytes


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice decompress",
        description="Decode a file of compress to text, with the model that it was compressed "
        "with. A file of -lossless gives every byte back. Of another one, an empty line comes "
        "back as one, and every line ends with a line feed.",
        epilog="example: onmt_lattice decompress -model runs/my/conv64_step_500000.safetensors "
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
    check_output(args.output, "-output")
    data = read_bytes(args.input, "-input")

    from onmt_lattice.bitstream import BitstreamError
    from onmt_lattice.bitstream.file import Mode, TextFile

    try:
        mode = TextFile(data).header.mode
        if mode == Mode.VECTORS:
            raise UserError(
                f"-input {args.input}: a file of vectors; 'onmt_lattice unpack' reads it"
            )
        blocks = (_lossless if mode == Mode.LOSSLESS else _lossy)(args, data)
        begin, count = time.monotonic(), 0
        with output_stream(args.output) as stream:
            for block in blocks:
                stream.write(block)
                count += block.count(b"\n")
    except BitstreamError as error:
        raise UserError(f"-input {args.input}: {error}") from error
    rate = count / (time.monotonic() - begin)
    print(f"{len(data)} bytes to {count} lines: {rate:.0f} lines a second", file=sys.stderr)


def _lossy(args: Namespace, data: bytes) -> Iterator[bytes]:
    """Return blocks of lines as the model decodes them."""
    from onmt_lattice.opennmt.inference.text_codec import load_codec

    codec = load_codec(args.model, args.gpu, args.batch_size)
    search = args.beam_size, args.max_length
    if args.line is None:
        blocks = codec.decompressed(data, *search, progress=True)
    else:
        blocks = iter([[codec.decompress_line(data, args.line - 1, *search)]])
    return ("".join(f"{line}\n" for line in lines).encode() for lines in blocks)


def _lossless(args: Namespace, data: bytes) -> Iterator[bytes]:
    """Return blocks of the text that was compressed."""
    if args.line is not None:
        raise UserError(f"-line {args.line}: a lossless file is decoded in whole; leave it out")

    from onmt_lattice.opennmt.inference.lossless_text import load_lossless

    lossless = load_lossless(args.model, args.gpu, args.batch_size)
    return lossless.decompressed(data, progress=True)
