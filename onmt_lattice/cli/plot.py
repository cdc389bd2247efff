"""``onmt_lattice plot``."""

from __future__ import annotations

from dataclasses import dataclass

from onmt_lattice.config import Config, option, parse
from onmt_lattice.files import check_output


@dataclass(frozen=True, kw_only=True)
class PlotOptions(Config):
    """Draw rate against NLL, both in bits per word of the text.

    Reads the JSON files of evaluate. Each bottleneck has a colour and a marker, the points of one
    run are joined, and a line shows the entropy of the source where it is known.

    example: onmt_lattice plot results/*.json -o rate_nll.png
    """

    results: list[str] = option(
        ..., "JSON files written by evaluate", metavar="FILE", positional=True
    )
    output: str = option(
        "rate_nll.png", "figure to write: .png, .svg or .pdf", metavar="FILE", short="o"
    )
    per: str = option("word", "unit of the costs, in bits per word or per token", ["word", "token"])


def run(argv: list[str]) -> None:
    """Plot with the options in ``argv``."""
    options = parse("plot", PlotOptions, argv)

    from onmt_lattice.evaluation.result import Evaluation
    from onmt_lattice.experiments.report.plotting import check_format, plot

    check_format(options.output)
    check_output(options.output, "-output")
    plot([Evaluation.read(path) for path in options.results], options.output, options.per)
    print(f"written to {options.output}")
