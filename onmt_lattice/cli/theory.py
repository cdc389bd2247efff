"""``onmt_lattice theory``."""

from __future__ import annotations

from pathlib import Path

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.errors import unknown_name
from onmt_lattice.experiments.theory.catalogue import EXPERIMENTS, PAPER_LATTICES
from onmt_lattice.experiments.theory.experiments import FORMATS
from onmt_lattice.files import check_folder
from onmt_lattice.ranges import SEED, Range, check_ranges

LEAST_SAMPLES = 100


def parser() -> Parser:
    """Return the parser of this command."""
    names = "; ".join(f"{e.name}: {e.summary}" for e in EXPERIMENTS.values())
    p = Parser(
        prog="onmt_lattice theory",
        description="Check the paper's theory by experiment. Each experiment prints a table, with "
        "the Monte-Carlo standard error of every number that is sampled, and writes it as "
        f"NAME.txt and NAME.json, some a figure besides. Experiments: {names}.",
        epilog="example: onmt_lattice theory -experiments moments ratedistortion "
        "-output results/theory -format svg",
    )
    p.option(
        "experiments",
        nargs="+",
        metavar="NAME",
        default=list(EXPERIMENTS),
        help="which to run (default: all)",
    )
    wider = [e.name for e in EXPERIMENTS.values() if e.lattices]
    p.option(
        "lattices",
        nargs="+",
        metavar="NAME",
        help=f"lattices to run them on; figures 1 and 2 have their own "
        f"(default: {' '.join(PAPER_LATTICES)}; of {', '.join(wider)} convolutional ones too)",
    )
    own = ", ".join(f"{e.name} {e.samples} {e.unit}" for e in EXPERIMENTS.values() if e.samples)
    p.option(
        "samples",
        type=int,
        metavar="N",
        help=f"Monte-Carlo samples, at least {LEAST_SAMPLES} (default: {own})",
    )
    p.option("seed", type=int, default=0, help="seed of every random number (default: 0)")
    p.option(
        "output",
        default="results/theory",
        metavar="DIR",
        help="folder to write to (default: results/theory)",
    )
    p.option("format", choices=FORMATS, default="png", help="of the figures (default: png)")
    return p


def run(argv: list[str]) -> None:
    """Run the experiments with the options in ``argv``; print and write each as it is done."""
    args = parser().parse_args(argv)
    for name in args.experiments:
        if name not in EXPERIMENTS:
            raise unknown_name("experiment", name, EXPERIMENTS)
    check_ranges(vars(args), {"samples": Range(LEAST_SAMPLES, 2**31 - 1), "seed": SEED})

    from onmt_lattice.lattices import make_lattice

    chosen = tuple(make_lattice(name) for name in dict.fromkeys(args.lattices or []))
    directory = Path(args.output)
    check_folder(directory, "-output")
    for name in dict.fromkeys(args.experiments):
        experiment = EXPERIMENTS[name]
        own = tuple(map(make_lattice, experiment.lattices or PAPER_LATTICES))
        result = experiment.run(chosen or own, args.seed, args.samples)
        written = ", ".join(map(str, result.write(directory, args.format)))
        print(f"{result.text()}\nwritten to {written}\n", flush=True)
