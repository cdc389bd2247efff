"""``onmt_lattice decode``."""

from __future__ import annotations

import sys

from onmt_lattice.cli.arguments import Parser, check_numbers
from onmt_lattice.cli.encode import add_kinds
from onmt_lattice.files import check_output


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice decode",
        description="Turn the rows of an array, as encode writes them or computed from such, back "
        "to text. Points need the seed and the places in the file that they were encoded with, as "
        "these determine the dither; X goes through the bottleneck. A row of NaN, or of -2^63 in "
        "points, becomes an empty line.",
        epilog="example: onmt_lattice decode -input vectors.npy -output text.out "
        "-model runs/demo/gaussian_0.2_seed1/model_step_2000.safetensors",
    )
    p.option("input", required=True, metavar="FILE", help="the array, .npy; - is standard input")
    p.option(
        "output", required=True, metavar="FILE", help="the text to write; - is standard output"
    )
    add_kinds(p)
    p.option("beam_size", type=int, default=1, help="1 is greedy (default: 1)")
    p.option(
        "max_length", type=int, default=100, help="longest line decoded, tokens (default: 100)"
    )
    return p


def run(argv: list[str]) -> None:
    """Decode with the options in ``argv``; say on standard error what was written."""
    args = parser().parse_args(argv)
    check_numbers(vars(args))
    check_output(args.output, "-output")

    from onmt_lattice.opennmt.commands.vector_files import DecodeOptions, decode_file

    print(f"{decode_file(DecodeOptions(**vars(args)))}, to {args.output}", file=sys.stderr)
