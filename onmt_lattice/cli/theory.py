"""``onmt_lattice theory``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onmt_lattice.config import COUNT, SEED, Config, Range, option, parse
from onmt_lattice.experiments.theory.experiments import EXPERIMENTS, FORMATS, PAPER_LATTICES
from onmt_lattice.files import check_folder

LEAST_SAMPLES = 100
WIDER = [e.name for e in EXPERIMENTS.values() if e.lattices]
SAMPLES = [f"{e.name} {e.samples} {e.unit}" for e in EXPERIMENTS.values() if e.samples]


@dataclass(frozen=True, kw_only=True)
class TheoryOptions(Config):
    """Check the paper's theory by experiment.

    Each experiment prints a table, with the Monte-Carlo standard error of every sampled number, and
    writes it as NAME.txt and NAME.json; some draw a figure as well.

    example: onmt_lattice theory -experiments moments ratedistortion -output results/theory
    -format svg
    """

    experiments: list[str] = option(
        list(EXPERIMENTS), "experiments to run (default: all)", list(EXPERIMENTS), metavar="NAME"
    )
    lattices: list[str] | None = option(
        None,
        "lattices of the experiments, except for figures 1 and 2 (default: "
        f"{' '.join(PAPER_LATTICES)}; for {', '.join(WIDER)} convolutional ones too)",
        metavar="NAME",
    )
    samples: int | None = option(
        None,
        f"Monte-Carlo samples, at least {LEAST_SAMPLES} (default: {', '.join(SAMPLES)})",
        range=Range(LEAST_SAMPLES, COUNT.high),
        metavar="N",
    )
    seed: int = option(0, "seed of every random number", range=SEED)
    output: Path = option(Path("results/theory"), "folder to write to", metavar="DIR")
    format: str = option("png", "format of the figures", FORMATS)


def run(argv: list[str]) -> None:
    """Run the experiments with the options in ``argv``; print and write each result."""
    summaries = "; ".join(f"{e.name}: {e.summary}" for e in EXPERIMENTS.values())
    options = parse("theory", TheoryOptions, argv, f"Experiments: {summaries}.")

    from onmt_lattice.lattices import make_lattice

    lattices = tuple(make_lattice(name) for name in dict.fromkeys(options.lattices or []))
    check_folder(options.output, "-output")
    experiments = [EXPERIMENTS[name] for name in dict.fromkeys(options.experiments)]
    for experiment in experiments:
        experiment.check(lattices)
    for experiment in experiments:
        default = tuple(map(make_lattice, experiment.lattices or PAPER_LATTICES))
        result = experiment.run(lattices or default, options.seed, options.samples)
        paths = ", ".join(map(str, result.write(options.output, options.format)))
        print(f"{result.text()}\nwritten to {paths}\n", flush=True)
