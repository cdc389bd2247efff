"""What a curve costs over the reference at equal NLL, in bits."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from onmt_lattice.experiments.report.curves import Mark, by_seed
from onmt_lattice.experiments.report.results import Results

COLLAPSED = 0.01  # bits per word: less carries nothing, and its logarithm pulls towards -inf
STEPS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01)  # between levels of NLL, in bits per word
LEVELS = 5  # at least so many steps from one end of the reference to the other

Curve = list[tuple[float, float]]  # (NLL, rate), sorted by the NLL


def rate_at(nll: float, curve: Sequence[tuple[float, float]]) -> float | None:
    """Return the rate at ``nll`` of a curve of (NLL, rate > 0), or None outside of its points.

    ``curve`` is sorted by the NLL, without two of the same. Between neighbours the logarithm of
    the rate is taken as linear in the NLL: rate against NLL is convex, and a chord of the rate
    itself would lie above the curve, in favour of all that is held against it.
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

    Of an annealed run this is where λ trades the one for the other: what it was before training
    had brought the NLL down is beaten by what came after. Points that are :func:`collapsed` are
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
    """What a curve of one seed costs at an NLL.

    Attributes:
        seed: of the training; ``nll``, ``rate``: of the curve, in bits per word.
        over: ``rate`` less the rate of the reference of that seed at the same NLL.
    """

    seed: int
    nll: float
    rate: float
    over: float


def costs(results: Results, curve: str, schedule: str) -> list[list[Cost]]:
    """Return what a curve costs at each level of NLL that it and the reference reach, by seed.

    Both are interpolated between their points, and never beyond. The levels are round numbers, the
    same for all curves and seeds, so that curves can be held against each other too. A curve of
    which every seed is a single point is held against the reference at its own NLL.
    """
    references = fronts(results, results.reference, schedule)
    mine = {s: points for s, points in fronts(results, curve, schedule).items() if s in references}
    if all(len(points) == 1 for points in mine.values()):
        found = [[_cost(s, points[0][0], points, references[s]) for s, points in mine.items()]]
    else:
        found = [
            [_cost(seed, level, points, references[seed]) for seed, points in mine.items()]
            for level in levels(references)
        ]
    return [there for group in found if (there := [cost for cost in group if cost is not None])]


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
