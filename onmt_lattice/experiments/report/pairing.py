"""Quantized models against the Gaussian models that they are made of: model by model.

Both are of the same training and seed and see the same sentences, so that neither the noise
between trainings nor that between sentences is in the cost of a lattice. Where the NLL is not the
same, the rate is corrected along the Gaussian's own curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import covariance, fmean
from typing import Annotated, Any, NamedTuple

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import NO_LATTICE, SentenceCost
from onmt_lattice.experiments.report.curves import Mark, Spread, by_point, collapsed
from onmt_lattice.experiments.report.results import (
    SCHEDULES,
    TUNED,
    Difference,
    Quantizing,
    Results,
    RunResult,
)
from onmt_lattice.experiments.tables import Column, Table, columns

RATE_WEIGHT = "rate_weight"
CUBIC = "Z"
NORMAL_95 = 1.959964  # standard errors on either side of a 95 % interval


def difference(costs: Sequence[SentenceCost], fair: Sequence[SentenceCost]) -> Difference:
    """Return ``costs`` less ``fair`` ones of the same sentences, at least two."""
    if [(c.line, c.words) for c in costs] != [(c.line, c.words) for c in fair] or len(costs) < 2:
        raise UserError(
            "costs of sentences: expected the same two or more sentences of both models; remove "
            "the .tsv files of the runs, and the sweep evaluates again"
        )
    rate = [c.rate - f.rate for c, f in zip(costs, fair, strict=True)]
    nll = [c.nll - f.nll for c, f in zip(costs, fair, strict=True)]
    return Difference(
        rate=fmean(rate),
        nll=fmean(nll),
        rate_variance=covariance(rate, rate) / len(costs),
        nll_variance=covariance(nll, nll) / len(costs),
        covariance=covariance(rate, nll) / len(costs),
    )


@dataclass(frozen=True)
class Interval(Spread):
    """A number for each seed, with its standard error over sentences."""

    errors: dict[int, float] = field(default_factory=dict)

    @property
    def half_width(self) -> float:
        """Half the 95 % interval of the mean, as if the errors of all seeds were the same."""
        return NORMAL_95 * fmean(self.errors.values())

    def text(self, form: str) -> str:
        """Return mean ± half its interval and, of several seeds, the range."""
        mean, _, ends = super().text(form).partition(" ")
        return f"{mean} ±{self.half_width:{form.lstrip('+')}} {ends}".rstrip()

    def json(self) -> dict[str, Any]:
        """Return the spread with its half-width."""
        return {**super().json(), "half_width": self.half_width}


@dataclass(frozen=True)
class Paired:
    """A lattice in Gaussian models of one point of their curve, over all seeds.

    In bits per word, over the Gaussian with its prior refitted; ``over_dimension`` and ``theory``,
    which is over a Gaussian source and None where training went on, in bits per dimension. The
    error of ``closed`` takes those of the two costs as independent, so it is too large.
    """

    curve: Annotated[str, Column("curve")]
    kind: Annotated[str | None, Column("kind")]
    point: Annotated[str, Column("point")]
    nll: Annotated[float, Column("at NLL", ".2f")]
    over: Annotated[Interval | None, Column("rate over", "+.3f")]
    over_dimension: Annotated[Interval | None, Column("per dimension", "+.4f")]
    theory: Annotated[float | None, Column("theory", ".4f")]
    of_theory: Annotated[Interval | None, Column("of theory (%)", ".1f")]
    nll_change: Annotated[Interval | None, Column("NLL over", "+.3f")]
    equal: Annotated[Interval | None, Column("at equal NLL", "+.3f")]
    closed: Annotated[Interval | None, Column("gap closed (%)", ".0f")]


class Pair(NamedTuple):
    """A quantized point and its fair opponent, the Gaussian with its prior refitted."""

    seed: int
    mark: Mark
    fair: Mark
    over: Difference
    slope: float | None  # of log rate against NLL along the Gaussian's curve, 1/(bits per word)

    @property
    def per_word(self) -> float:
        """Sentences per word."""
        e = self.mark.point.evaluation
        return e.sentences / e.words

    @property
    def equal(self) -> tuple[float, float] | None:
        """Cost at equal NLL and its standard error, bits per word."""
        if self.slope is None:
            return None
        change = self.over.nll * self.per_word
        there = self.fair.rate * math.exp(self.slope * change)  # of the Gaussian
        cost = self.over.rate * self.per_word + self.fair.rate - there
        worth = -self.slope * there  # bits of rate for a bit of NLL
        o = self.over
        variance = o.rate_variance + worth**2 * o.nll_variance + 2 * worth * o.covariance
        return cost, self.per_word * math.sqrt(max(variance, 0.0))


def paired(results: Results) -> list[Paired]:
    """Return the lattices in trained models by curve, schedule and point."""
    groups = (
        [pair for mark in marks if (pair := _pair(results, mark)) is not None]
        for curve in results.curves
        for schedule in SCHEDULES
        for marks in by_point(results, curve, schedule)
    )
    return [_row(results, pairs) for pairs in groups if pairs]


def _pair(results: Results, mark: Mark) -> Pair | None:
    quantizing, over = mark.run.quantizing, mark.point.over
    if quantizing is None or over is None or quantizing.lattice == NO_LATTICE:
        return None
    fair = _mark_of(results, replace(quantizing, lattice=NO_LATTICE), mark.point.step)
    if fair is None:
        return None
    slope = _slope(fair, _curve_of(results, fair))
    return Pair(mark.run.seed, mark, fair, over, slope)


def _mark_of(results: Results, quantizing: Quantizing, step: int) -> Mark | None:
    runs = (run for run in results.runs if run.quantizing == quantizing)
    return next((Mark(run, p) for run in runs for p in run.points if p.step == step), None)


def _curve_of(results: Results, mark: Mark) -> list[Mark]:
    """Return the points of the Gaussian's curve of ``mark``: those that differ in λ alone."""

    def key(run: RunResult) -> object:
        values = {option: value for option, value in run.values.items() if option != RATE_WEIGHT}
        return run.curve, run.schedule, run.seed, values

    runs = (run for run in results.runs if key(run) == key(mark.run))
    return [Mark(run, point) for run in runs for point in run.points]


def _slope(at: Mark, curve: Sequence[Mark]) -> float | None:
    """Return d log(rate)/d NLL at a point of ``curve``, of the parabola through its neighbours.

    At an end it is the chord to the one neighbour. None where the rate does not fall.
    """
    points = sorted((mark.nll, math.log(mark.rate)) for mark in curve if not collapsed(mark))
    if collapsed(at) or (at.nll, math.log(at.rate)) not in points:
        return None
    here = points.index((at.nll, math.log(at.rate)))
    x, y = points[here]
    chords = [
        (abs(a - x), (b - y) / (a - x))
        for a, b in (points[here - 1 : here] + points[here + 1 : here + 2])
        if a != x
    ]
    if not chords or any(slope >= 0 for _, slope in chords):
        return None
    (left, before), (right, after) = chords[0], chords[-1]
    return (before * right + after * left) / (left + right)


def _row(results: Results, pairs: Sequence[Pair]) -> Paired:
    first = pairs[0].mark
    assert first.run.quantizing is not None
    dims = {p.seed: p.mark.point.evaluation.dim or 1 for p in pairs}
    fits = (
        {}
        if first.run.quantizing.more_steps
        else {p.seed: p.mark.point.evaluation.quantized for p in pairs}
    )
    theory = {s: q.theory_bits for s, q in fits.items() if q is not None and q.theory_bits > 0}
    rates = {p.seed: (p.over.rate, math.sqrt(p.over.rate_variance)) for p in pairs}
    words = {p.seed: p.per_word for p in pairs}
    nlls = {p.seed: (p.over.nll, math.sqrt(p.over.nll_variance)) for p in pairs}
    equal = {p.seed: p.equal for p in pairs if p.equal is not None}
    closed = {p.seed: share for p in pairs if (share := _closed(results, p)) is not None}
    return Paired(
        curve=first.run.curve,
        kind=results.kind(first.run.curve),
        point=first.label,
        nll=fmean(p.fair.nll for p in pairs),
        over=_estimate(rates, words),
        over_dimension=_estimate(rates, {seed: 1 / dim for seed, dim in dims.items()}),
        theory=fmean(bits / dims[s] for s, bits in theory.items()) if theory else None,
        of_theory=_estimate(rates, {s: 100 / bits for s, bits in theory.items()}),
        nll_change=_estimate(nlls, words),
        equal=_estimate(equal, dict.fromkeys(equal, 1.0)),
        closed=_estimate(closed, dict.fromkeys(closed, 100.0)),
    )


def _estimate(values: dict[int, tuple[float, float]], times: dict[int, float]) -> Interval | None:
    """Return values and their standard errors, ``times`` the factor of each seed that has one."""
    pairs = [(s, v * times[s], e * times[s]) for s, (v, e) in values.items() if s in times]
    return Interval({s: v for s, v, _ in pairs}, {s: e for s, _, e in pairs}) if pairs else None


def _closed(results: Results, pair: Pair) -> tuple[float, float] | None:
    """Return the share of Z's cost at equal NLL that a lattice saves, and its standard error."""
    quantizing = pair.mark.run.quantizing
    assert quantizing is not None
    cubic = _mark_of(results, replace(quantizing, lattice=CUBIC), pair.mark.point.step)
    z = None if cubic is None else _pair(results, cubic)
    if quantizing.lattice == CUBIC or z is None or z.equal is None or pair.equal is None:
        return None
    (cost, error), (cost_z, error_z) = pair.equal, z.equal
    if cost_z <= 0:
        return None
    return 1 - cost / cost_z, math.hypot(error, cost / cost_z * error_z) / cost_z


def paired_table(results: Results) -> Table:
    """Return a line for each lattice in trained models, by curve and point."""
    notes = (
        "Each lattice is compared with the Gaussian model that it was put into: same training, "
        "same seed, same sentences, and the Gaussian's prior fitted to the sentences that the "
        "lattice's code was fitted to. rate over and NLL over: the lattice's minus the Gaussian's, "
        "in bits per {per}. per dimension: rate over, in bits per dimension. theory: what the "
        "lattice should cost, computed for Gaussian numbers with the signal-to-noise ratios of "
        "this model, in bits per dimension.",
        "at equal NLL: the same, had the Gaussian model the lattice's NLL, in bits per {per}. The "
        "Gaussian's rate there is its own times exp(slope x change of NLL). The slope is that of "
        "the logarithm of its rate against NLL along its curve over lambda, of the same seed: of "
        "the parabola through the points on both sides, or at an end of the line to the next "
        "point. gap closed: the part of Z's cost in the same model that this lattice saves, both "
        "at equal NLL; its interval treats the two costs as independent, so it is too wide.",
        "Numbers are means over seeds. ± is half of a 95 % interval of the difference, over "
        "sentences. It does not cover how seeds differ, nor errors of the slopes and of theory. In "
        "brackets: the lowest and the highest seed.",
        "tuned: training continued with the lattice's noise, and for the Gaussian model equally "
        "long. Two trainings differ by more than these intervals show.",
    )
    rows = paired(results)
    tuned = any(row.kind == TUNED for row in rows)
    title = f"what a lattice costs in a trained Gaussian model, {Path(results.text).name}"
    shown_columns = columns(Paired, *([] if tuned else ["kind"]))
    shown = notes if tuned else notes[:-1]
    return Table(title, shown_columns, rows, tuple(note.format(per=results.per) for note in shown))
