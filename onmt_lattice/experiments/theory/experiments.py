"""The experiments: their list, their settings, and the files they write.

Each is measured in a module of its own, imported when it runs, so that the list needs no torch.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.tables import Table, columns
from onmt_lattice.files import write_json, write_text

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from onmt_lattice.lattices import Lattice

FORMATS = ("png", "svg")
STYLE: dict[Any, Any] = {
    **{"font.size": 9, "axes.titlesize": 10, "legend.frameon": False},
    **{"axes.spines.top": False, "axes.spines.right": False},
}
PAPER_LATTICES = ("Z", "A2", "D4", "E8", "BW16", "Leech")
"""The six lattices of the tables, by dimension."""

STATES = (4, 8, 16, 32, 64, 256, 9, 81, 243, 2187, 25, 125, 625)
Z4_STATES = (64, 256, 1024, 4096, 16384)
LONGEST = (*(f"conv{n}-480" for n in STATES), *(f"z4conv{n}-480" for n in Z4_STATES))
"""Convolutional lattices of every number of states that there is a generator for."""

SHORT_AND_LONG = (
    "conv4-48 conv4-96 conv4-480 conv16-48 conv16-96 conv16-480 conv64-48 conv64-96 conv64-480 "
    "conv256-96 conv256-480 conv9-480 conv81-480 conv243-480 conv2187-480 "
    "conv25-480 conv625-480 z4conv64-480 z4conv256-480 z4conv1024-480"
).split()


@dataclass(frozen=True)
class Settings:
    """What the experiments share."""

    lattices: tuple[Lattice, ...]  # each of a dither of second moment 1 per dimension
    samples: int  # for each lattice
    seed: int  # of every random number

    def generator(self, *labels: str) -> torch.Generator:
        """Return a generator of its own for each ``labels``: no experiment disturbs another."""
        import torch

        key = "/".join([str(self.seed), *labels])
        return torch.Generator().manual_seed(zlib.crc32(key.encode()))


@dataclass(frozen=True)
class Experiment:
    """An experiment."""

    name: str  # on the command line, and of the files it writes
    summary: str
    samples: int  # for each lattice by default; 0 if it draws none
    unit: str  # what a sample is
    module: str  # of this package, with rows(settings), Row, TITLE, NOTES and perhaps draw(rows)
    lattices: tuple[str, ...] = ()  # that it is made on by default; if none, the paper's six
    coordinates: int = 0  # of a source, a multiple of every lattice's dimension; 0 for any

    def check(self, lattices: tuple[Lattice, ...]) -> None:
        """Raise :class:`UserError` for a lattice that the experiment cannot be made on."""
        for lattice in lattices:
            if self.coordinates % lattice.dim:
                raise UserError(
                    f"-lattices {lattice.name}: {self.name} needs lattices whose dimension divides "
                    f"{self.coordinates}; leave it out, or name other -experiments"
                )

    def run(
        self, lattices: tuple[Lattice, ...], seed: int = 0, samples: int | None = None
    ) -> Result:
        """Return the result for ``lattices``, at any scale."""
        import matplotlib

        module: Any = import_module(f"onmt_lattice.experiments.theory.{self.module}")
        unit = tuple(lattice.with_second_moment(1.0) for lattice in lattices)
        settings = Settings(unit, self.samples if samples is None else samples, seed)
        rows = module.rows(settings)
        table = Table(module.TITLE, columns(module.Row), rows, module.NOTES)
        with matplotlib.rc_context(STYLE):
            figure = module.draw(rows) if hasattr(module, "draw") else None
        return Result(self, settings, table, figure)


@dataclass(frozen=True)
class Result:
    """Table and figure of an experiment, and the settings that give them again."""

    experiment: Experiment
    settings: Settings
    table: Table
    figure: Figure | None

    def text(self) -> str:
        """Return the table above its settings."""
        experiment, settings = self.experiment, self.settings
        drawn = "nothing is sampled"
        if experiment.samples:
            drawn = f"samples {settings.samples} ({experiment.unit}), seed {settings.seed}"
        return f"{experiment.name}: {self.table.text()}\n{drawn}\n"

    def json(self) -> dict[str, Any]:
        """Return the table and the settings for ``json.dump``."""
        import torch

        return {
            "experiment": self.experiment.name,
            "samples": self.settings.samples if self.experiment.samples else 0,
            "unit": self.experiment.unit,
            "seed": self.settings.seed,
            "torch": torch.__version__,
            **self.table.json(),
        }

    def write(self, folder: Path, image: str = "png") -> list[Path]:
        """Write NAME.txt, NAME.json and, where there is a figure, NAME.``image``; return them."""
        paths = [folder / f"{self.experiment.name}.{end}" for end in ("txt", "json", image)]
        write_text(paths[0], self.text())
        write_json(paths[1], self.json(), indent=1)
        if self.figure is None:
            return paths[:2]

        import matplotlib

        from onmt_lattice.experiments.report.plotting import save

        with matplotlib.rc_context(STYLE):
            save(self.figure, paths[2])
        return paths


UNEVEN_COORDINATES = 96  # of a source of unevenblocks
_BLOCKS = "blocks of 48 coordinates a lattice and"
_ALL = (
    Experiment("figure1", "cubic and hexagonal lattice: cells and covering", 0, "", "cells"),
    Experiment(
        "figure2", "the two systems: inference and training", 20_000, "points a system", "systems"
    ),
    Experiment(
        "crypto",
        "the Crypto-Lemma: Z − U against X − U given X",
        20_000,
        "points a lattice and X",
        "crypto_lemma",
    ),
    Experiment(
        "theorem1",
        "Theorem 1: the codeword's length and the training rate",
        2_000,
        f"{_BLOCKS} code",
        "rate_identity",
    ),
    Experiment(
        "lemma2",
        "Lemma 2: the curvature that dither pays for",
        50_000,
        "points a lattice",
        "curvature",
    ),
    Experiment(
        "moments",
        "G(Λ), and the share of the way from Z to the limit",
        1_000_000,
        "points a lattice",
        "second_moments",
        (*PAPER_LATTICES, *LONGEST),
    ),
    Experiment(
        "ratedistortion",
        "rate against distortion on a Gaussian source",
        4_000,
        f"{_BLOCKS} SNR",
        "rate_distortion",
    ),
    Experiment(
        "gaussianlimit",
        "how fast lattices approach the Gaussian channel",
        4_000,
        f"{_BLOCKS} SNR",
        "gaussian_limit",
        (*PAPER_LATTICES, *SHORT_AND_LONG),
    ),
    Experiment(
        "unevenblocks",
        "the price of blocks that mix strong and weak coordinates",
        2_000,
        f"sources of {UNEVEN_COORDINATES} coordinates a lattice and order",
        "uneven_blocks",
        (*PAPER_LATTICES, "conv16-96", "conv64-96", "conv256-96"),
        UNEVEN_COORDINATES,
    ),
)
EXPERIMENTS = {experiment.name: experiment for experiment in _ALL}
