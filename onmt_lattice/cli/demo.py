"""``onmt_lattice demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onmt_lattice.cli.sweep import stop_in_order
from onmt_lattice.config import COUNT, Config, option, parse
from onmt_lattice.files import check_folder


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Config):
    """Train, quantize, evaluate and plot models of the embedded corpus, whose entropy is known.

    Train small Gaussian models, replace their noise by one lattice after another, train
    straight-through quantizers, evaluate all (NLL and rate in bits per word), and draw rate against
    NLL. This takes some minutes on 2 cores. An interrupted demo resumes when it is run again.

    example: onmt_lattice demo -jobs 2
    """

    output: Path = option(Path("runs/demo"), "folder")
    jobs: int | None = option(None, "models trained at once (default: one per core)", range=COUNT)
    config: Path | None = option(None, "another sweep instead of the demo's own")


def run(argv: list[str]) -> None:
    """Run the demo with the options in ``argv``."""
    options = parse("demo", DemoOptions, argv)
    check_folder(options.output, "-output")
    stop_in_order()

    from onmt_lattice.experiments.demo.demo import CONFIG, demo

    demo(options.config or CONFIG, options.output, options.jobs)
