"""``onmt_lattice sweep``."""

from __future__ import annotations

import os
from pathlib import Path

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.errors import UserError


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice sweep",
        description="Train and evaluate a grid of models.",
        epilog="example: onmt_lattice sweep -config configs/captions/sweep.yaml -text multi30k",
    )
    p.option("config", type=Path, required=True, metavar="FILE", help="YAML file of the grid")
    p.option("output", type=Path, required=True, metavar="DIR", help="folder of everything")
    p.option("text", type=Path, metavar="DIR", help="folder of train.en, valid.en and test.en")
    p.option("seeds", type=int, nargs="+", help="in place of the file's own")
    p.option("jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    p.option("retry_failed", action="store_true", help="start failed runs again")
    return p


def run(argv: list[str]) -> None:
    """Run the sweep with the options in ``argv``."""
    args = parser().parse_args(argv)
    if args.jobs < 1:
        raise UserError(f"-jobs {args.jobs}: expected at least 1")

    from onmt_lattice.sweep.sweep import SweepOptions, sweep

    sweep(SweepOptions(**vars(args)))
