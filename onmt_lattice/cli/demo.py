"""``onmt_lattice demo``."""

from __future__ import annotations

from pathlib import Path

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.cli.sweep import stop_in_order
from onmt_lattice.files import check_folder
from onmt_lattice.ranges import COUNT, check_ranges


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice demo",
        description="On the embedded corpus, whose entropy is known: train small Gaussian models, "
        "put one lattice after another in place of their noise, train straight-through quantizers "
        "beside them, evaluate all (NLL and rate in bits per word), and draw rate against NLL. "
        "Takes some minutes on 2 cores; can be interrupted, and resumes when run again.",
        epilog="example: onmt_lattice demo -jobs 2",
    )
    p.option("output", type=Path, default=Path("runs/demo"), help="folder (default: runs/demo)")
    p.option("jobs", type=int, help="models trained at a time (default: one a core)")
    p.option("config", type=Path, help="another sweep in place of the demo's own")
    return p


def run(argv: list[str]) -> None:
    """Run the demo with the options in ``argv``."""
    args = parser().parse_args(argv)
    check_folder(args.output, "-output")
    check_ranges(vars(args), {"jobs": COUNT})
    stop_in_order()

    from onmt_lattice.experiments.demo.demo import CONFIG, DemoOptions, demo

    demo(DemoOptions(args.config or CONFIG, args.output, args.jobs))
