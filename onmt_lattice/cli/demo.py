"""``onmt_lattice demo``."""

from __future__ import annotations

import os
from pathlib import Path

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.demo import DemoOptions, demo
from onmt_lattice.errors import UserError


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice demo",
        description="On the embedded corpus, whose entropy is known: train a small model through "
        "every bottleneck of configs/demo, evaluate each checkpoint (NLL and rate in bits a word), "
        "and draw rate against NLL. Takes some minutes on 2 cores; can be interrupted, and "
        "goes on when run again.",
        epilog="example: onmt_lattice demo -jobs 2",
    )
    p.option("output", type=Path, default=Path("runs/demo"), help="folder (default: runs/demo)")
    p.option("jobs", type=int, default=os.cpu_count() or 1, help="models trained at a time")
    p.option("train_steps", type=int, help="training steps a model (default: as in configs/demo)")
    p.option("configs", type=Path, default=Path("configs/demo"), help="folder of one YAML a model")
    p.option("test", type=Path, default=Path("data/grammar/test.en"), help="text to evaluate on")
    return p


def run(argv: list[str]) -> None:
    """Run the demo with the options in ``argv``."""
    args = parser().parse_args(argv)
    for name in ("jobs", "train_steps"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"-{name} {value}: expected at least 1")
    demo(DemoOptions(**vars(args)))
