"""``onmt_lattice encode``."""

from __future__ import annotations

import sys

from onmt_lattice.cli.arguments import Parser, check_numbers
from onmt_lattice.files import check_output
from onmt_lattice.text import FORM


def add_kinds(p: Parser) -> None:
    """Add the options that say what a row of the file of vectors is, and of which model."""
    p.option("model", required=True, metavar="FILE", help="a checkpoint")
    kinds = p.add_mutually_exclusive_group()
    kinds.add_argument(
        "-points",
        "--points",
        action="store_const",
        dest="kind",
        const="points",
        default="quantized",
        help="rows are the integer coordinates of lattice points in their bases, or the entries "
        "that straight-through quantizers chose (int64)",
    )
    kinds.add_argument(
        "-continuous",
        "--continuous",
        action="store_const",
        dest="kind",
        const="continuous",
        help="rows are X, what goes into the bottleneck (float32)",
    )
    p.option(
        "seed", type=int, default=0, help="of dither and noise, with the line number (default: 0)"
    )
    p.option("batch_size", type=int, default=64, help="sentences a batch (default: 64)")
    p.option("gpu", type=int, default=-1, help="CUDA device, or -1 for the CPU (default: -1)")


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice encode",
        description="Write the representation of every sentence of a text as a row of an array in "
        "NumPy's .npy format: the quantized one that the decoder gets (float32), unless said "
        "otherwise. The rows are in the order of the lines; that of an empty line is NaN, or "
        "-2^63 in points, throughout.",
        epilog="example: onmt_lattice encode -src runs/demo/text/test.en -output vectors.npy "
        "-model runs/demo/gaussian_0.2_seed1/model_step_2000.safetensors",
    )
    p.option(
        "src",
        required=True,
        metavar="FILE",
        help=f"text, {FORM}; - is standard input",
    )
    p.option(
        "output", required=True, metavar="FILE", help="the array to write; - is standard output"
    )
    add_kinds(p)
    return p


def run(argv: list[str]) -> None:
    """Encode with the options in ``argv``; say on standard error what was written."""
    args = parser().parse_args(argv)
    check_numbers(vars(args))
    check_output(args.output, "-output")

    from onmt_lattice.opennmt.commands.vector_files import EncodeOptions, encode_file

    print(f"{encode_file(EncodeOptions(**vars(args)))}, to {args.output}", file=sys.stderr)
