"""``onmt_lattice prepare``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onmt_lattice.config import Config, Parser, from_options
from onmt_lattice.experiments.prepare.options import TEXTS, NewstestOptions, Wmt16Options

if TYPE_CHECKING:
    from onmt_lattice.experiments.prepare.steps import Steps


class Prepare(Config):
    """Prepare the paper's data to train and test on: subword units, one sentence per line.

    example: onmt_lattice prepare wmt16 -output data/wmt16
    """


def run(argv: list[str]) -> None:
    """Prepare the text that ``argv`` names; print a summary."""
    parser = Parser(Prepare, prog="onmt_lattice prepare")
    texts = parser.add_subparsers(dest="text", metavar="TEXT", required=True)
    texts.add_parser("wmt16", config=Wmt16Options, help="the English side of WMT16 German-English")
    texts.add_parser(
        "newstest2014", config=NewstestOptions, help="newstest2014's English sentences alone"
    )
    arguments = parser.parse_args(argv)
    if arguments.text == "wmt16":
        options = from_options(Wmt16Options, arguments)

        from onmt_lattice.experiments.prepare import wmt16

        print(_summary(wmt16.prepare(options)))
    else:
        newstest_options = from_options(NewstestOptions, arguments)

        from onmt_lattice.experiments.prepare import newstest

        output = newstest_options.output
        facts = newstest.prepare(output, newstest_options.archives, newstest_options.subword_model)
        print(f"{output}: {facts['sentences']:,} sentences, {facts['units']:,} tokens")


def _summary(manifest: Steps) -> str:
    """Return the files with their sizes, and the steps that this run has done."""
    lines = []
    for name in ("train", *TEXTS):
        facts = manifest.facts(name)
        path = manifest.folder / f"{name}.en"
        lines.append(f"{path}: {facts['sentences']:,} sentences, {facts['units']:,} units")
    vocabulary = manifest.facts("train")["vocabulary"]
    lines.append(f"{manifest.folder / 'vocab.txt'}: {vocabulary:,} units")
    steps = ", ".join(name for name in manifest.done if "/" not in name)
    lines.append(f"made now: {steps}" if manifest.done else "nothing to do: all was up to date")
    return "\n".join(lines)
