"""The curves of a sweep: their points by seed and by place, and numbers with a spread over seeds.

NLL and rate are in bits per word throughout, or per token of results that were restated so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from onmt_lattice.experiments.report.results import (
    ANNEALED,
    FAILED,
    FIXED,
    RUNNING,
    WAITING,
    Point,
    Results,
    RunResult,
)


@dataclass(frozen=True)
class Spread:
    """A number for each seed, shown as mean [lowest, highest]."""

    seeds: dict[int, float]

    @classmethod
    def of(cls, values: Iterable[tuple[int, float | None]]) -> Spread | None:
        """Return the mean of each seed's values that there are, or None if there are none."""
        seeds: dict[int, list[float]] = {}
        for seed, value in values:
            if value is not None:
                seeds.setdefault(seed, []).append(value)
        return cls({seed: fmean(of_seed) for seed, of_seed in seeds.items()}) if seeds else None

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return fmean(self.seeds.values())

    @property
    def lowest(self) -> float:
        """The lowest of any seed."""
        return min(self.seeds.values())

    @property
    def highest(self) -> float:
        """The highest of any seed."""
        return max(self.seeds.values())

    def text(self, form: str) -> str:
        """Return the mean and, of several seeds, the range."""
        if len(self.seeds) == 1:
            return f"{self.mean:{form}}"
        return f"{self.mean:{form}} [{self.lowest:{form}}, {self.highest:{form}}]"

    def json(self) -> dict[str, Any]:
        """Return mean, range and the value of each seed."""
        ends = {"mean": self.mean, "lowest": self.lowest, "highest": self.highest}
        return {**ends, "seeds": {str(seed): value for seed, value in self.seeds.items()}}


class Mark(NamedTuple):
    """A point of a curve, with the run it comes from."""

    run: RunResult
    point: Point

    @property
    def nll(self) -> float:
        """NLL; infinite where a diverged run has none."""
        nll = self.point.evaluation.nll.word
        return math.inf if math.isnan(nll) else nll

    @property
    def rate(self) -> float:
        """Rate of the quantized channel."""
        return self.point.evaluation.rate.word

    @property
    def place(self) -> str:
        """Where on its curve it is: the options that vary, or of an annealed run the step."""
        if self.run.schedule == ANNEALED or not self.run.values:
            return f"step {self.point.step}"
        return self.run.varied

    @property
    def gid(self) -> str:
        """The id of its artist in the figure."""
        return f"point-{self.run.name}-{self.point.step}"


def by_seed(results: Results, curve: str, schedule: str) -> dict[int, list[Mark]]:
    """Return each seed's points of a curve: fixed ones by their NLL, annealed ones by step."""
    seeds: dict[int, list[Mark]] = {}
    for run in results.runs:
        if (run.curve, run.schedule) == (curve, schedule) and run.points:
            seeds.setdefault(run.seed, []).extend(Mark(run, point) for point in run.points)
    for marks in seeds.values():
        marks.sort(key=lambda mark: mark.nll if schedule == FIXED else mark.point.step)
    return seeds


def by_place(results: Results, curve: str, schedule: str) -> list[list[Mark]]:
    """Return the points of all seeds at each place of a curve, in the order of :func:`by_seed`."""
    places: dict[str, list[Mark]] = {}
    for marks in by_seed(results, curve, schedule).values():
        for mark in marks:
            places.setdefault(mark.place, []).append(mark)
    if schedule == FIXED:
        return sorted(places.values(), key=lambda marks: fmean(mark.nll for mark in marks))
    return sorted(places.values(), key=lambda marks: marks[0].point.step)


def trade_off(marks: Sequence[Mark], schedule: str) -> list[Mark]:
    """Return those of a seed's points, as of :func:`by_seed`, that trade rate for NLL.

    Of an annealed run these are the points from its lowest NLL on. Before, training brings the
    NLL down whatever the rate; only after does λ drive the one up as it drives the other down.
    """
    if schedule == FIXED:
        return list(marks)
    return list(marks[min(range(len(marks)), key=lambda i: marks[i].nll) :])


class Shortfall(NamedTuple):
    """Runs that are not finished: their status, in words ``2 of 9 runs failed``, and names."""

    status: str
    summary: str
    names: list[str]


def shortfall(results: Results) -> list[Shortfall]:
    """Return the runs that failed, those that run and those that wait, of each if there are any."""
    found = []
    for status in (FAILED, RUNNING, WAITING):
        names = [run.name for run in results.runs if run.record.status == status]
        if names:
            summary = f"{len(names)} of {len(results.runs)} runs {status}"
            found.append(Shortfall(status, summary, names))
    return found
