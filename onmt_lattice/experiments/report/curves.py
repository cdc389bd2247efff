"""The curves of a sweep: points, spreads over seeds, and costs over the reference at equal NLL.

NLL and rate are in bits per word throughout, or per token of results that were restated so.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import SimpleNamespace
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
from onmt_lattice.experiments.tables import Column

COLLAPSED = 0.01  # bits per word: less carries nothing, and its logarithm pulls towards -inf
STEPS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01)  # between levels of NLL, in bits per word
LEVELS = 5  # at least so many steps from one end of the reference to the other
POINT_COLUMNS = {"curve": Column("curve"), "schedule": Column("schedule"), "point": Column("point")}

Curve = list[tuple[float, float]]  # (NLL, rate), sorted by the NLL


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
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest of any seed."""
        return min(self.seeds.values()), max(self.seeds.values())

    def text(self, form: str) -> str:
        """Return the mean and, of several seeds, the range."""
        lowest, highest = self.ends
        ends = f" [{lowest:{form}}, {highest:{form}}]" if len(self.seeds) > 1 else ""
        return f"{self.mean:{form}}{ends}"

    def json(self) -> dict[str, Any]:
        """Return mean, range and the value of each seed."""
        lowest, highest = self.ends
        seeds = {str(seed): value for seed, value in self.seeds.items()}
        return {"mean": self.mean, "lowest": lowest, "highest": highest, "seeds": seeds}


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
    def label(self) -> str:
        """What varies along its curve: the options, or of an annealed run the step."""
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


def by_point(results: Results, curve: str, schedule: str) -> list[list[Mark]]:
    """Return the marks of all seeds at each point of a curve, in the order of :func:`by_seed`."""
    points: dict[str, list[Mark]] = {}
    for marks in by_seed(results, curve, schedule).values():
        for mark in marks:
            points.setdefault(mark.label, []).append(mark)
    if schedule == FIXED:
        return sorted(points.values(), key=lambda marks: fmean(mark.nll for mark in marks))
    return sorted(points.values(), key=lambda marks: marks[0].point.step)


Measures = Mapping[str, tuple[Column, Callable[[Mark], float | None]]]  # columns, by field


def point_row(marks: Sequence[Mark], measures: Measures, **others: object) -> SimpleNamespace:
    """Return a table's row of a point: ``POINT_COLUMNS``, ``seeds``, a spread of each measure."""
    run = marks[0].run
    spreads = {
        field: Spread.of((mark.run.seed, measure(mark)) for mark in marks)
        for field, (_, measure) in measures.items()
    }
    where = {"curve": run.curve, "schedule": run.schedule, "point": marks[0].label}
    return SimpleNamespace(
        **where, seeds=len({mark.run.seed for mark in marks}), **spreads, **others
    )


def trade_off(marks: Sequence[Mark], schedule: str) -> list[Mark]:
    """Return those of a seed's points, as of :func:`by_seed`, that trade rate for NLL.

    Of an annealed run these are the points from its lowest NLL on. Before, training brings the
    NLL down whatever the rate; only after does λ drive the one up as it drives the other down.
    """
    if schedule == FIXED:
        return list(marks)
    return list(marks[min(range(len(marks)), key=lambda i: marks[i].nll) :])


class Shortfall(NamedTuple):
    """Runs that are not finished."""

    status: str
    summary: str  # such as ``2 of 9 runs failed``
    names: list[str]


def shortfall(results: Results) -> list[Shortfall]:
    """Return the runs that failed, those that run and those that wait, of each if there are any."""
    rows = []
    for status in (FAILED, RUNNING, WAITING):
        names = [run.name for run in results.runs if run.record.status == status]
        summary = f"{len(names)} of {len(results.runs)} runs {status}"
        rows += [Shortfall(status, summary, names)] if names else []
    return rows


# ---- costs at equal NLL -------------------------------------------------------------------------


def rate_at(nll: float, curve: Sequence[tuple[float, float]]) -> float | None:
    """Return the rate at ``nll`` of a curve of (NLL, rate > 0), or None outside of its points.

    ``curve`` is sorted by the NLL, without two of the same. Between neighbours the logarithm of
    the rate is taken as linear in the NLL: rate against NLL is convex, and a chord of the rate
    itself would lie above the curve, in favour of all that is compared with it.
    """
    after = bisect_left(curve, nll, key=lambda point: point[0])
    if after < len(curve) and curve[after][0] == nll:
        return curve[after][1]
    if after in (0, len(curve)):
        return None
    (nll0, rate0), (nll1, rate1) = curve[after - 1 : after + 1]
    share = (nll - nll0) / (nll1 - nll0)
    return rate0 ** (1 - share) * rate1**share


def front(marks: Iterable[Mark]) -> Curve:
    """Return one seed's curve: its points but for those that another beats in NLL and rate.

    Of an annealed run this is where λ trades the one for the other: earlier points, before training
    had brought the NLL down, are beaten by later ones. Points that are :func:`collapsed` are
    no part of it.
    """
    curve: Curve = []
    for mark in sorted(marks, key=lambda mark: (mark.nll, mark.rate)):
        if not collapsed(mark) and (not curve or mark.rate < curve[-1][1]):
            curve.append((mark.nll, mark.rate))
    return curve


def collapsed(mark: Mark) -> bool:
    """Whether a point has no NLL, or no rate to take the logarithm of."""
    return not (math.isfinite(mark.nll) and mark.rate >= COLLAPSED)


def fronts(results: Results, curve: str, schedule: str) -> dict[int, Curve]:
    """Return the :func:`front` of each seed of a curve that has a code and any point on it."""
    seeds = {
        seed: front(mark for mark in marks if mark.point.evaluation.is_code)
        for seed, marks in by_seed(results, curve, schedule).items()
    }
    return {seed: points for seed, points in seeds.items() if points}


class Cost(NamedTuple):
    """What a curve of one seed costs at an NLL."""

    seed: int
    nll: float
    rate: float
    over: float  # rate less the rate of the reference of that seed at the same NLL


def costs(results: Results, curve: str, schedule: str) -> list[list[Cost]]:
    """Return the cost of a curve at each level of NLL that it and the reference reach, by seed.

    Both are interpolated between their points, and never beyond. The levels are round numbers, the
    same for all curves and seeds, so that curves can be compared with each other too. A curve of
    which every seed is a single point is compared with the reference at its own NLL.
    """
    references = fronts(results, results.reference, schedule)
    mine = {s: points for s, points in fronts(results, curve, schedule).items() if s in references}
    if all(len(points) == 1 for points in mine.values()):
        groups = [[_cost(s, points[0][0], points, references[s]) for s, points in mine.items()]]
    else:
        groups = [
            [_cost(seed, level, points, references[seed]) for seed, points in mine.items()]
            for level in levels(references)
        ]
    present = [[cost for cost in group if cost is not None] for group in groups]
    return list(filter(None, present))


def _cost(seed: int, nll: float, curve: Curve, reference: Curve) -> Cost | None:
    rate, least = rate_at(nll, curve), rate_at(nll, reference)
    return None if rate is None or least is None else Cost(seed, nll, rate, rate - least)


def levels(references: Mapping[int, Curve]) -> list[float]:
    """Return round levels of NLL from one end of the reference's curves to the other."""
    ends = [nll for curve in references.values() for nll, _ in (curve[0], curve[-1])]
    if not ends:
        return []
    low, high = min(ends), max(ends)
    step = next((step for step in STEPS if high - low >= LEVELS * step), STEPS[-1])
    return [round(n * step, 2) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
