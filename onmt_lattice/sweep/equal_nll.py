"""Each point of a curve held against the reference at equal NLL, in bits."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from onmt_lattice.lattices import make_lattice
from onmt_lattice.sweep.curves import Mark, by_seed, trade_off
from onmt_lattice.sweep.results import Results

COMPARED, EARLY, OUTSIDE, UNMATCHED = "compared", "early", "outside", "unmatched"
COLLAPSED = 0.01  # bits a word: less carries nothing, and its logarithm pulls towards -inf


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


def reference_curve(marks: Sequence[Mark], reading: str) -> list[tuple[float, float]]:
    """Return the curve of one seed's reference, for :func:`rate_at`.

    Neighbours on it are neighbours in the NLL, dearer ones too, where noise or training has left
    some: a reference picked at its best would be held against others that are not. Only of points
    with the same NLL the cheapest counts. Those that are :func:`collapsed` are no part of it.
    """
    rates: dict[float, float] = {}
    for mark in trade_off(marks, reading):
        if not collapsed(mark):
            rates[mark.nll] = min(mark.rate, rates.get(mark.nll, math.inf))
    return sorted(rates.items())


def collapsed(mark: Mark) -> bool:
    """Whether a point has no NLL, or no rate to take the logarithm of."""
    return not (math.isfinite(mark.nll) and mark.rate >= COLLAPSED)


@dataclass(frozen=True)
class Held:
    """A point held against the reference of its seed and reading.

    Attributes:
        mark: the point.
        outcome: ``compared``; ``early``: before the lowest NLL of its annealed run; ``outside``
            of the NLL that the reference spans; ``unmatched``: without a reference, or without a
            code whose rate could be held against it.
        over: rate less that of the reference at the same NLL, in bits a word, if compared.
    """

    mark: Mark
    outcome: str
    over: float | None = None

    @property
    def loss(self) -> float | None:
        """The space-filling loss of its lattice, in bits a dimension."""
        evaluation = self.mark.point.evaluation
        if evaluation.bottleneck != "lattice":
            return None
        return space_filling_loss(evaluation.settings["lattice"])

    @property
    def over_dimension(self) -> float | None:
        """``over`` of a lattice in bits a dimension of the d between the linear maps."""
        dim, evaluation = self.mark.run.dim, self.mark.point.evaluation
        if self.over is None or self.loss is None or not dim:
            return None
        return self.over * evaluation.words / evaluation.sentences / dim

    @property
    def share(self) -> float | None:
        """``over_dimension`` in percent of ``loss``."""
        if self.over_dimension is None or self.loss is None:
            return None
        return 100 * self.over_dimension / self.loss


@cache
def space_filling_loss(lattice: str) -> float:
    """Return ½ log2(2πe G), in bits a dimension: what a lattice costs over the ball."""
    return 0.5 * math.log2(2 * math.pi * math.e * make_lattice(lattice).nsm)


def held(results: Results, curve: str, reading: str) -> list[Held]:
    """Return every point of a curve, held against the reference.

    Nothing is extrapolated: a point outside of the reference stays without a number. The points
    that come before the lowest NLL of an annealed run, be it this curve's or the reference's, are
    no trade-off and not compared.
    """
    references = {
        seed: reference_curve(marks, reading)
        for seed, marks in by_seed(results, results.reference, reading).items()
    }
    found = []
    for seed, marks in by_seed(results, curve, reading).items():
        late = trade_off(marks, reading)
        found += [Held(mark, EARLY) for mark in marks[: len(marks) - len(late)]]
        found += [_held(mark, references.get(seed)) for mark in late]
    return found


def _held(mark: Mark, reference: Sequence[tuple[float, float]] | None) -> Held:
    if reference is None or mark.point.evaluation.bottleneck == "none":
        return Held(mark, UNMATCHED)
    rate = rate_at(mark.nll, reference)
    return Held(mark, OUTSIDE) if rate is None else Held(mark, COMPARED, mark.rate - rate)
