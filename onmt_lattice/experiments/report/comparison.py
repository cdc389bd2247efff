"""What each curve costs over the reference at equal NLL, and the points it comes from: tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import TextWrapper
from typing import Annotated

from onmt_lattice.bottlenecks.lattice import lattice_for
from onmt_lattice.experiments.report.curves import (
    COLLAPSED,
    POINT_COLUMNS,
    Cost,
    Mark,
    Measures,
    Spread,
    by_point,
    by_seed,
    collapsed,
    costs,
    fronts,
    point_row,
    rate_at,
    shortfall,
)
from onmt_lattice.experiments.report.pairing import paired_table
from onmt_lattice.experiments.report.plotting import kinds
from onmt_lattice.experiments.report.results import ANNEALED, SCHEDULES, Results
from onmt_lattice.experiments.tables import Column, Table, columns

WIDTH = 100  # of the notes, as text


def tables(results: Results) -> list[Table]:
    """Return lattices against the models they are in, all against the reference, and the points."""
    paired = paired_table(results)
    return [*([paired] if paired.rows else []), comparison_table(results), point_table(results)]


def text(results: Results) -> str:
    """Return all tables as text, their notes wrapped."""

    def wrapped(notes: Sequence[str]) -> tuple[str, ...]:
        wrapper = TextWrapper(WIDTH, break_long_words=False, break_on_hyphens=False)
        return tuple(line for note in notes for line in wrapper.wrap(note))

    every = tables(results)
    return "\n\n\n".join(replace(table, notes=wrapped(table.notes)).text() for table in every)


# ---- curves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """A curve compared with the reference at one NLL; of a curve of one point, at its own.

    Rates are in bits per word; ``over_dimension`` is ``over`` in bits per dimension, of the d
    between the maps, ``loss`` ½ log2(2πe G) of the lattice.
    """

    curve: Annotated[str, Column("curve")]
    kind: Annotated[str | None, Column("kind")]
    schedule: Annotated[str, Column("schedule")]
    nll: Annotated[float | Spread | None, Column("at NLL", ".2f")] = None
    rate: Annotated[Spread | None, Column("rate", ".2f")] = None
    over: Annotated[Spread | None, Column("bits per word over", "+.2f")] = None
    over_dimension: Annotated[Spread | None, Column("bits per dimension", "+.3f")] = None
    loss: Annotated[float | None, Column("loss", ".3f")] = None
    share: Annotated[Spread | None, Column("share (%)", ".0f")] = None


def compare(results: Results) -> list[Comparison]:
    """Return all curves but the reference at each NLL, in each schedule that has runs.

    A curve that cannot be compared anywhere has a line without numbers. Curves that quantize
    another are left to :func:`paired_table`, unless there are other kinds to compare them with.
    """
    several = bool(kinds(results))
    present = {
        (run.curve, run.schedule) for run in results.runs if several or run.quantizing is None
    }
    rows = []
    for curve in results.curves:
        for schedule in SCHEDULES:
            if curve != results.reference and (curve, schedule) in present:
                groups = costs(results, curve, schedule)
                rows += [_comparison(results, curve, schedule, group) for group in groups]
                rows += [] if groups else [Comparison(curve, results.kind(curve), schedule)]
    return rows


def _comparison(results: Results, curve: str, schedule: str, group: Sequence[Cost]) -> Comparison:
    level = {cost.nll for cost in group}
    over = {cost.seed: cost.over for cost in group}
    row = Comparison(
        curve=curve,
        schedule=schedule,
        kind=results.kind(curve),
        nll=level.pop() if len(level) == 1 else Spread({cost.seed: cost.nll for cost in group}),
        rate=Spread({cost.seed: cost.rate for cost in group}),
        over=Spread(over),
    )
    evaluations = [
        point.evaluation
        for run in results.runs
        if (run.curve, run.schedule) == (curve, schedule)
        for point in run.points
    ]
    lattices = {
        (e.dim, e.dim * e.sentences / e.words, str(e.settings["lattice"]))
        for e in evaluations
        if e.dim and e.bottleneck == "lattice"
    }
    if len(lattices) != 1:
        return row
    ((dim, dims, lattice),) = lattices  # dims per word
    loss = lattice_for(lattice, dim).space_filling_loss
    return replace(
        row,
        over_dimension=Spread({seed: value / dims for seed, value in over.items()}),
        loss=loss,
        share=Spread({seed: 100 * value / dims / loss for seed, value in over.items()}),
    )


def comparison_table(results: Results) -> Table:
    """Return a line for each curve, schedule and level of NLL, with notes on how to read it."""
    rows, reference = compare(results), results.reference
    notes = [
        f"over: how many bits more than {reference} a curve needs for the same NLL, with the same "
        f"seed and schedule; negative: fewer. Between two points of a curve, "
        "the logarithm of the rate is interpolated; beyond its ends there is no value. Points are "
        "skipped if another one of the same curve and seed has both a lower NLL and a lower rate. "
        "Numbers are means over seeds, with the lowest and the highest in brackets: a range, not a "
        "confidence interval. Without brackets, only one seed reaches that NLL.",
    ]
    if any(row.loss is not None for row in rows):
        notes.append(
            "loss: what the shape of the lattice's cells costs in theory, where the signal is much "
            "stronger than the noise: its space-filling loss, 1/2 log2(2 pi e G) bits per "
            "dimension. share: the measured bits per dimension, in percent of that. Below 100, "
            "some dimensions carry little or nothing; above 100, something else costs bits too, "
            "such as too few numbers, the prior, or training."
        )
    if any(row.schedule == ANNEALED for row in rows):
        notes.append(
            "annealed: lambda grows during training, so part of a difference may come from how "
            "long a model was trained."
        )
    notes += [*_uncompared(results, rows), *_collapsed_note(results)]
    notes += [f"{missing.summary}; named below the points." for missing in shortfall(results)]
    title = f"cost over {reference} at equal NLL, {Path(results.text).name}"
    shown = columns(Comparison, *([] if kinds(results) else ["kind"]))
    shown["over"] = Column(f"bits per {results.per} over", "+.2f")
    return Table(title, shown, rows, tuple(notes))


def _uncompared(results: Results, rows: Sequence[Comparison]) -> list[str]:
    """Return a note on the points at whose NLL their seed has no reference."""
    parts = []
    for curve, schedule in dict.fromkeys((row.curve, row.schedule) for row in rows):
        over = _over(results, curve, schedule)
        outside = sum(value is None for value in over.values())
        parts += [f"{outside} of {len(over)} of {curve} ({schedule})"] if outside else []
    if not parts:
        return []
    return [
        f"Points where {results.reference} has no rate at their NLL, so that they have no value "
        f"for over: {'; '.join(parts)}."
    ]


def _collapsed_note(results: Results) -> list[str]:
    seeds = (by_seed(results, results.reference, schedule).values() for schedule in SCHEDULES)
    count = sum(collapsed(mark) for group in seeds for marks in group for mark in marks)
    note = (
        f"Points of {results.reference} skipped in this table, with a rate below {COLLAPSED} bits "
        f"per {results.per} or an NLL that is not finite: {count}."
    )
    return [note] if count else []


# ---- points -------------------------------------------------------------------------------------


def point_table(results: Results) -> Table:
    """Return a line for each point of each curve; failed and unfinished runs are in the notes."""
    over: dict[tuple[str, int], float | None] = {}
    for curve in set(results.curves) - {results.reference}:
        for schedule in SCHEDULES:
            over |= _over(results, curve, schedule)
    measures: Measures = {
        "nll": (Column("NLL", ".2f"), lambda mark: mark.nll),
        "rate": (Column("rate", ".2f"), lambda mark: mark.rate),
        "total": (Column("total", ".2f"), lambda mark: mark.point.evaluation.total.word),
        "over": (Column("over", "+.2f"), lambda mark: over.get(_key(mark))),
        "perplexity": (Column("codebook", ".1f"), _part("codebooks", "perplexity")),
        "unused": (Column("unused (%)", ".1f"), _part("codebooks", "unused", 100)),
        "bleu": (Column("BLEU", ".1f"), _part("reconstruction", "bleu")),
        "exact": (Column("exact (%)", ".1f"), _part("reconstruction", "exact", 100)),
    }
    rows = [
        point_row(marks, measures, rate_weight=marks[0].point.evaluation.rate_weight)
        for curve in results.curves
        for schedule in SCHEDULES
        for marks in by_point(results, curve, schedule)
    ]
    notes = [
        f"NLL, rate and total are in bits per {results.per}: mean over seeds [lowest, highest]. "
        f"over: rate minus the rate of {results.reference} at the same NLL, where it has one. "
        "codebook: how many entries of a codebook are in use, counted as perplexity. unused: "
        "entries that no sentence of the text uses. BLEU: how similar the sentences that come "
        "back are to the originals, 0 to 100; exact: those that come back unchanged.",
        *(f"{missing.summary}: {', '.join(missing.names)}." for missing in shortfall(results)),
    ]
    shown = POINT_COLUMNS | {"rate_weight": Column("lambda", ".3f"), "seeds": Column("seeds")}
    shown |= {field: column for field, (column, _) in measures.items()}
    return Table(f"points, {Path(results.text).name}", shown, rows, tuple(notes))


def _part(of: str, name: str, times: float = 1) -> Callable[[Mark], float | None]:
    """Return the measure of a part of evaluations that not all of them have."""

    def measure(mark: Mark) -> float | None:
        part = getattr(mark.point.evaluation, of)
        return None if part is None else times * getattr(part, name)

    return measure


def _key(mark: Mark) -> tuple[str, int]:
    return mark.run.name, mark.point.step


def _over(results: Results, curve: str, schedule: str) -> dict[tuple[str, int], float | None]:
    """Return the cost of each point over the reference, by the name of its run and its step."""
    references = fronts(results, results.reference, schedule)
    over = {}
    for seed, marks in by_seed(results, curve, schedule).items():
        for mark in marks:
            is_code = mark.point.evaluation.is_code
            least = rate_at(mark.nll, references.get(seed, [])) if is_code else None
            over[_key(mark)] = None if least is None else mark.rate - least
    return over
