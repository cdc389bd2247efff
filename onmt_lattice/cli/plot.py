"""``onmt_lattice plot``."""

from __future__ import annotations

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.files import check_output


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice plot",
        description="Draw rate against NLL, both in bits per word of the text, from the JSON files "
        "that evaluate writes: a colour and marker for each bottleneck, the points of one run "
        "joined, and the entropy of the source where it is known.",
        epilog="example: onmt_lattice plot results/*.json -o rate_nll.png",
    )
    p.add_argument("results", nargs="+", metavar="FILE", help="JSON files written by evaluate")
    p.add_argument(
        "-o",
        "-output",
        "--output",
        default="rate_nll.png",
        metavar="FILE",
        help="figure to write: .png, .svg or .pdf (default: rate_nll.png)",
    )
    p.option(
        "per",
        choices=["word", "token"],
        default="word",
        help="what the bits are counted per (default: word)",
    )
    return p


def run(argv: list[str]) -> None:
    """Plot with the options in ``argv``."""
    args = parser().parse_args(argv)

    from onmt_lattice.evaluation.result import Evaluation
    from onmt_lattice.experiments.report.plotting import check_format, plot

    check_format(args.output)
    check_output(args.output, "-output")
    plot([Evaluation.read(path) for path in args.results], args.output, args.per)
    print(f"written to {args.output}")
