"""What an experiment is: a name, what it shows, and the module that measures it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onmt_lattice.experiments.tables import Table
from onmt_lattice.files import write_json, write_text

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from onmt_lattice.lattices import Lattice

FORMATS = ("png", "svg")
LARGEST_BATCH = 65_536
BLOCK = 48  # coordinates: the least number that all six lattices divide
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Settings:
    """What the experiments share.

    Attributes:
        lattices: each scaled so that its dither has second moment 1 a dimension.
        samples: how many samples to draw for each lattice.
        seed: of every random number.
    """

    lattices: tuple[Lattice, ...]
    samples: int
    seed: int

    def generator(self, *labels: str) -> torch.Generator:
        """Return a generator of its own for each ``labels``: no experiment disturbs another."""
        import torch

        key = "/".join([str(self.seed), *labels])
        return torch.Generator().manual_seed(zlib.crc32(key.encode()))


def points_of_blocks(blocks: int, lattice: Lattice) -> int:
    """Return the number of points of ``lattice`` in ``blocks`` of 48 coordinates, at least two.

    So that each lattice has as many coordinates, and much the same standard error.
    """
    return max(2, blocks * BLOCK // lattice.dim)


def batches(samples: int, largest: int = LARGEST_BATCH) -> Iterator[int]:
    """Yield sizes of at most ``largest`` that add up to ``samples``."""
    for start in range(0, samples, largest):
        yield min(largest, samples - start)


@dataclass(frozen=True)
class Outcome:
    """What an experiment gave."""

    table: Table
    figure: Figure | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        name: on the command line, and of the files it writes.
        summary: what it shows, in a few words.
        samples: how many it draws for each lattice unless told otherwise; 0 if it draws none.
        unit: what a sample is.
        module: of :mod:`~.experiments.theory`, whose ``measure`` does it; imported when it runs.
        lattices: names of those it is made on unless told otherwise; if none, the paper's six.
    """

    name: str
    summary: str
    samples: int
    unit: str
    module: str
    lattices: tuple[str, ...] = ()

    def run(
        self, lattices: tuple[Lattice, ...], seed: int = 0, samples: int | None = None
    ) -> Result:
        """Return the outcome for ``lattices``, at any scale, with where it came from."""
        import matplotlib

        measure = import_module(f"onmt_lattice.experiments.theory.{self.module}").measure
        unit = tuple(lattice.with_second_moment(1.0) for lattice in lattices)
        settings = Settings(unit, self.samples if samples is None else samples, seed)
        with matplotlib.rc_context(STYLE):
            return Result(self, settings, measure(settings))


@dataclass(frozen=True)
class Result:
    """The outcome of an experiment and the settings it came from."""

    experiment: Experiment
    settings: Settings
    outcome: Outcome

    def text(self) -> str:
        """Return the table under the settings that give it again."""
        experiment, settings = self.experiment, self.settings
        drawn = "nothing is sampled"
        if experiment.samples:
            drawn = f"samples {settings.samples} ({experiment.unit}), seed {settings.seed}"
        return f"{experiment.name}: {self.outcome.table.text()}\n{drawn}\n"

    def json(self) -> dict[str, Any]:
        """Return the table and the settings for ``json.dump``."""
        import torch

        return {
            "experiment": self.experiment.name,
            "samples": self.settings.samples if self.experiment.samples else 0,
            "unit": self.experiment.unit,
            "seed": self.settings.seed,
            "torch": torch.__version__,
            **self.outcome.table.json(),
        }

    def write(self, directory: Path, image: str = "png") -> list[Path]:
        """Write NAME.txt, NAME.json and, where there is a figure, NAME.``image``; return them."""
        paths = [directory / f"{self.experiment.name}.{kind}" for kind in ("txt", "json", image)]
        write_text(paths[0], self.text())
        write_json(paths[1], self.json(), indent=1)
        if self.outcome.figure is None:
            return paths[:2]

        import matplotlib

        from onmt_lattice.experiments.report.plotting import save

        with matplotlib.rc_context(STYLE):
            save(self.outcome.figure, paths[2])
        return paths
