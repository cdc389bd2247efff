"""``onmt_lattice compress``."""

from __future__ import annotations

import io
import sys
import time
from argparse import Namespace
from typing import NamedTuple

from onmt_lattice.cli.arguments import Parser, check_numbers
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output, output_stream, read_bytes
from onmt_lattice.text import FORM, decoded_lines


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice compress",
        description="Write the representations of a text's sentences, one a line, to a file of "
        "about as many bits as evaluate says; decompress makes text of them again, as near to the "
        "original as the model's decoder comes. With -lossless the text's tokens are written as "
        "well, under the decoder's probabilities, and it comes back byte for byte. Any model with "
        "a lattice or straight-through quantizers will do.",
        epilog="example: onmt_lattice compress -model runs/my/conv64_step_500000.safetensors "
        "-src test.txt -output test.olz",
    )
    p.option("model", required=True, metavar="FILE", help="checkpoint of train or quantize")
    p.option("src", required=True, metavar="FILE", help=f"text, {FORM}; - is standard input")
    p.option("output", required=True, metavar="FILE", help="file to write; - is standard output")
    p.option(
        "lossless",
        action="store_true",
        help="keep every byte of the text, which may then be any file",
    )
    p.option(
        "alone",
        action="store_true",
        help="let every line decode without the others, for some seven bytes each",
    )
    p.option("seed", type=int, default=0, help="seed of the dither (default: 0)")
    p.option("batch_size", type=int, default=64, help="sentences a batch (default: 64)")
    p.option("gpu", type=int, default=-1, help="CUDA device, or -1 for the CPU (default: -1)")
    return p


def run(argv: list[str]) -> None:
    """Compress with the options in ``argv``; say on standard error what came of it."""
    args = parser().parse_args(argv)
    check_numbers(vars(args))
    if args.lossless and args.alone:
        raise UserError("-alone: not with -lossless, which learns from the lines before")
    check_output(args.output, "-output")
    data = read_bytes(args.src, "-src")
    made = (_lossless if args.lossless else _lossy)(args, data)
    with output_stream(args.output) as stream:
        stream.write(made.data)
    print(
        f"{made.lines} lines, {len(data)} bytes, to {len(made.data)} bytes: "
        f"{made.lines / made.seconds:.0f} lines a second{made.remark}",
        file=sys.stderr,
    )


class _Made(NamedTuple):
    """A file, the lines in it, how long it took, and what else there is to say."""

    data: bytes
    lines: int
    seconds: float
    remark: str = ""


def _lossy(args: Namespace, data: bytes) -> _Made:
    lines = list(decoded_lines(io.BytesIO(data), args.src))  # a mistake is told before any work

    from onmt_lattice.opennmt.inference.text_codec import load_codec

    codec = load_codec(args.model, args.gpu, args.batch_size)
    begin = time.monotonic()
    made = codec.compressed(lines, args.seed, args.alone, progress=True)
    unknown = f"; {made.unknown} of {made.tokens} tokens are unknown to it" if made.unknown else ""
    return _Made(made.data, len(lines), time.monotonic() - begin, unknown)


def _lossless(args: Namespace, data: bytes) -> _Made:
    from onmt_lattice.opennmt.inference.lossless_text import load_lossless

    lossless = load_lossless(args.model, args.gpu, args.batch_size)
    begin = time.monotonic()
    made = lossless.compress(data, args.seed, progress=True)
    lines = data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
    return _Made(made, lines, time.monotonic() - begin)
