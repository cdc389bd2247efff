"""What each curve costs over the reference at equal NLL, and the points it comes from: tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from textwrap import wrap

from onmt_lattice.sweep.curves import Mark, Spread, by_place, by_seed, shortfall, trade_off
from onmt_lattice.sweep.equal_nll import (
    COLLAPSED,
    COMPARED,
    EARLY,
    OUTSIDE,
    UNMATCHED,
    Held,
    collapsed,
    held,
)
from onmt_lattice.sweep.results import Results
from onmt_lattice.sweep.run import ANNEALED, READINGS
from onmt_lattice.tables import Column, Table

WIDTH = 100  # of the notes, as text

COMPARISON_COLUMNS = {
    "curve": Column("curve"),
    "reading": Column("reading"),
    "points": Column("points"),
    "compared": Column("compared"),
    "early": Column("early"),
    "outside": Column("outside"),
    "unmatched": Column("unmatched"),
    "over": Column("bits a word", "+.2f"),
    "over_dimension": Column("bits a dimension", "+.3f"),
    "loss": Column("loss", ".3f"),
    "share": Column("share (%)", ".0f"),
}
POINT_COLUMNS = {
    "curve": Column("curve"),
    "reading": Column("reading"),
    "place": Column("point"),
    "rate_weight": Column("lambda", ".3f"),
    "seeds": Column("seeds"),
    "nll": Column("NLL", ".2f"),
    "rate": Column("rate", ".2f"),
    "total": Column("total", ".2f"),
    "over": Column("over", "+.2f"),
    "perplexity": Column("codebook", ".1f"),
    "bleu": Column("BLEU", ".1f"),
    "exact": Column("exact (%)", ".1f"),
}


def tables(results: Results) -> list[Table]:
    """Return the comparison with the reference, and the points that it comes from."""
    return [comparison_table(results), point_table(results)]


def text(results: Results) -> str:
    """Return both tables for reading."""
    return "\n\n\n".join(
        replace(table, notes=tuple(line for note in table.notes for line in _lines(note))).text()
        for table in tables(results)
    )


def _lines(note: str) -> list[str]:
    return wrap(note, WIDTH, break_long_words=False, break_on_hyphens=False)


# ---- curves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """A curve held against the reference.

    Attributes:
        curve: its name; ``reading``: ``fixed`` or ``annealed``.
        points: how many it has, all seeds together; of these ``compared``, ``early``, ``outside``
            and ``unmatched`` as in :class:`~onmt_lattice.sweep.equal_nll.Held`.
        over: bits a word over the reference at equal NLL: of each seed the mean over its points.
        over_dimension: of a lattice the same in bits a dimension.
        loss: ½ log2(2πe G) of the lattice, in bits a dimension.
        share: ``over_dimension`` in percent of ``loss``.
    """

    curve: str
    reading: str
    points: int
    compared: int
    early: int
    outside: int
    unmatched: int
    over: Spread | None
    over_dimension: Spread | None
    loss: float | None
    share: Spread | None


def compare(results: Results) -> list[Comparison]:
    """Return all curves but the reference, in each reading that has runs, in the file's order."""
    present = {(run.curve, run.reading) for run in results.runs}
    return [
        _comparison(curve, reading, held(results, curve, reading))
        for curve in results.curves
        for reading in READINGS
        if curve != results.reference and (curve, reading) in present
    ]


def _comparison(curve: str, reading: str, points: list[Held]) -> Comparison:
    counts = Counter(point.outcome for point in points)
    losses = [point.loss for point in points if point.loss is not None]

    def spread(value: Callable[[Held], float | None]) -> Spread | None:
        return Spread.of((point.mark.run.seed, value(point)) for point in points)

    return Comparison(
        curve=curve,
        reading=reading,
        points=len(points),
        compared=counts[COMPARED],
        early=counts[EARLY],
        outside=counts[OUTSIDE],
        unmatched=counts[UNMATCHED],
        over=spread(lambda point: point.over),
        over_dimension=spread(lambda point: point.over_dimension),
        loss=fmean(losses) if losses else None,
        share=spread(lambda point: point.share),
    )


def comparison_table(results: Results) -> Table:
    """Return a line for each curve and reading, with notes that say how to read it."""
    rows, reference = compare(results), results.reference
    notes = [
        f"bits a word: each point's rate less that of {reference} at the same NLL, seed and "
        "reading, whose logarithm is interpolated between neighbouring points and never beyond "
        f"them; what is positive costs more than {reference}. It is the mean over a seed's "
        "points, then the mean over seeds with, in brackets, the lowest and the highest seed: "
        "a range, no confidence interval.",
        f"outside: points beyond the NLL that {reference} spans. unmatched: points of a seed "
        f"without {reference}, or without a code.",
    ]
    if any(row.loss is not None for row in rows):
        notes.append(
            "loss: the space-filling loss of the lattice, 1/2 log2(2 pi e G) bits a dimension. "
            "share: bits a dimension in percent of it; noise and training can take it below 0 "
            "and above 100."
        )
    if any(row.reading == ANNEALED for row in rows):
        notes.append(
            "annealed: lambda and training time grow together, so that part of a difference may "
            "be training. early: points before the lowest NLL of their run, where training still "
            "brings it down."
        )
    notes += _collapsed_note(results)
    notes += [f"{missing.summary}; named below the points." for missing in shortfall(results)]
    title = f"cost over {reference} at equal NLL, {Path(results.text).name}"
    return Table(title, COMPARISON_COLUMNS, rows, tuple(notes))


def _collapsed_note(results: Results) -> list[str]:
    count = sum(
        collapsed(mark)
        for reading in READINGS
        for marks in by_seed(results, results.reference, reading).values()
        for mark in trade_off(marks, reading)
    )
    if not count:
        return []
    return [
        f"The curve of {results.reference} goes without its points below {COLLAPSED} bits a word "
        f"or without a finite NLL: {count}."
    ]


# ---- points -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A place on a curve, over all seeds.

    Attributes:
        curve: its name; ``reading``: ``fixed`` or ``annealed``; ``place``: the options that vary,
            or the step.
        rate_weight: λ at the step; ``seeds``: how many there are.
        nll, rate, total: bits a word; ``over``: of these what the rate is over the reference.
        perplexity: of the codebooks; ``bleu``: 0 to 100; ``exact``: percent of the sentences.
    """

    curve: str
    reading: str
    place: str
    rate_weight: float
    seeds: int
    nll: Spread | None
    rate: Spread | None
    total: Spread | None
    over: Spread | None
    perplexity: Spread | None
    bleu: Spread | None
    exact: Spread | None


def point_table(results: Results) -> Table:
    """Return a line for each place of each curve; failed and unfinished runs are in the notes."""
    rows = []
    for curve in results.curves:
        for reading in READINGS:
            over = _over(results, curve, reading)
            rows += [_place(marks, over) for marks in by_place(results, curve, reading)]
    notes = [
        "NLL, rate and total in bits a word: mean over seeds [lowest, highest]. over: rate less "
        f"that of {results.reference} at the same NLL, where its curve has it. codebook: "
        "perplexity of the codebooks.",
        *(f"{missing.summary}: {', '.join(missing.names)}." for missing in shortfall(results)),
    ]
    return Table(f"points, {Path(results.text).name}", POINT_COLUMNS, rows, tuple(notes))


def _over(results: Results, curve: str, reading: str) -> dict[tuple[str, int], float | None]:
    """Return what each point costs over the reference, by the name of its run and its step."""
    if curve == results.reference:
        return {}
    points = held(results, curve, reading)
    return {(p.mark.run.name, p.mark.point.step): p.over for p in points}


def _place(marks: Sequence[Mark], over: dict[tuple[str, int], float | None]) -> Place:
    def spread(value: Callable[[Mark], float | None]) -> Spread | None:
        return Spread.of((mark.run.seed, value(mark)) for mark in marks)

    first = marks[0]
    return Place(
        curve=first.run.curve,
        reading=first.run.reading,
        place=first.place,
        rate_weight=first.point.evaluation.rate_weight,
        seeds=len({mark.run.seed for mark in marks}),
        nll=spread(lambda mark: mark.nll),
        rate=spread(lambda mark: mark.rate),
        total=spread(lambda mark: mark.point.evaluation.total.word),
        over=spread(lambda mark: over.get((mark.run.name, mark.point.step))),
        perplexity=spread(_perplexity),
        bleu=spread(_bleu),
        exact=spread(_exact),
    )


def _perplexity(mark: Mark) -> float | None:
    codebooks = mark.point.evaluation.codebooks
    return None if codebooks is None else codebooks.perplexity


def _bleu(mark: Mark) -> float | None:
    reconstruction = mark.point.evaluation.reconstruction
    return None if reconstruction is None else reconstruction.bleu


def _exact(mark: Mark) -> float | None:
    reconstruction = mark.point.evaluation.reconstruction
    return None if reconstruction is None else 100 * reconstruction.exact
