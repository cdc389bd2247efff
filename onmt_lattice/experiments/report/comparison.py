"""What each curve costs over the reference at equal NLL, and the points it comes from: tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Annotated

from onmt_lattice.bottlenecks.lattice import lattice_for
from onmt_lattice.experiments.report.curves import Mark, Spread, by_place, by_seed, shortfall
from onmt_lattice.experiments.report.equal_nll import (
    COLLAPSED,
    Cost,
    collapsed,
    costs,
    fronts,
    rate_at,
)
from onmt_lattice.experiments.report.pairing import paired_table
from onmt_lattice.experiments.report.results import ANNEALED, SCHEDULES, Results
from onmt_lattice.experiments.report.style import kinds
from onmt_lattice.experiments.tables import Column, Table, columns

WIDTH = 100  # of the notes, as text


def tables(results: Results) -> list[Table]:
    """Return lattices against the models they are in, all against the reference, and the points."""
    paired = paired_table(results)
    return [*([paired] if paired.rows else []), comparison_table(results), point_table(results)]


def text(results: Results) -> str:
    """Return all tables as text."""
    return "\n\n\n".join(
        replace(table, notes=tuple(line for note in table.notes for line in _lines(note))).text()
        for table in tables(results)
    )


def _lines(note: str) -> list[str]:
    return wrap(note, WIDTH, break_long_words=False, break_on_hyphens=False)


# ---- curves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """A curve held against the reference at one NLL.

    Attributes:
        curve: its name; ``schedule``: ``fixed`` or ``annealed``; ``kind``: of a lattice curve.
        nll: the level, or of a curve that is a single point its own NLL.
        rate: of the curve there; ``over``: that less the reference's. Bits per word, of each seed.
        over_dimension: of a lattice ``over`` in bits per dimension, of the d between the maps.
        loss: ½ log2(2πe G) of the lattice, in bits per dimension.
        share: ``over_dimension`` in percent of ``loss``.
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

    A curve that is nowhere to be compared keeps a line without numbers. Curves that quantize
    another are left to :func:`paired_table`, unless there are other kinds to hold them against.
    """
    several = bool(kinds(results))
    present = {
        (run.curve, run.schedule) for run in results.runs if several or run.quantizing is None
    }
    rows = []
    for curve in results.curves:
        for schedule in SCHEDULES:
            if curve != results.reference and (curve, schedule) in present:
                found = costs(results, curve, schedule)
                rows += [_comparison(results, curve, schedule, group) for group in found]
                rows += [] if found else [Comparison(curve, results.kind(curve), schedule)]
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
    scale = _dimensions_a_word(results, curve, schedule)
    if scale is None:
        return row
    dims, loss = scale
    return replace(
        row,
        over_dimension=Spread({seed: value / dims for seed, value in over.items()}),
        loss=loss,
        share=Spread({seed: 100 * value / dims / loss for seed, value in over.items()}),
    )


def _dimensions_a_word(results: Results, curve: str, schedule: str) -> tuple[float, float] | None:
    """Return d over the words of a sentence, and the loss, where a curve has one of each."""
    found = {
        (e.dim, e.dim * e.sentences / e.words, str(e.settings["lattice"]))
        for run in results.runs
        for e in (point.evaluation for point in run.points)
        if (run.curve, run.schedule) == (curve, schedule) and e.dim and e.bottleneck == "lattice"
    }
    if len(found) != 1:
        return None
    ((dim, a_word, lattice),) = found
    return a_word, lattice_for(lattice, dim).space_filling_loss


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
    notes += [*_uncompared(results), *_collapsed_note(results)]
    notes += [f"{missing.summary}; named below the points." for missing in shortfall(results)]
    title = f"cost over {reference} at equal NLL, {Path(results.text).name}"
    shown = columns(Comparison, *([] if kinds(results) else ["kind"]))
    shown["over"] = Column(f"bits per {results.per} over", "+.2f")
    return Table(title, shown, rows, tuple(notes))


def _uncompared(results: Results) -> list[str]:
    """Return a note on the points at whose NLL their seed has no reference."""
    found = []
    for row in {(row.curve, row.schedule): row for row in compare(results)}.values():
        over = _over(results, row.curve, row.schedule)
        outside = sum(value is None for value in over.values())
        if outside:
            found.append(f"{outside} of {len(over)} of {row.curve} ({row.schedule})")
    if not found:
        return []
    return [
        f"Points where {results.reference} has no rate at their NLL, so that they have no value "
        f"for over: {'; '.join(found)}."
    ]


def _collapsed_note(results: Results) -> list[str]:
    count = sum(
        collapsed(mark)
        for schedule in SCHEDULES
        for marks in by_seed(results, results.reference, schedule).values()
        for mark in marks
    )
    if not count:
        return []
    return [
        f"Points of {results.reference} skipped in this table, with a rate below {COLLAPSED} bits "
        f"per {results.per} or an NLL that is not finite: {count}."
    ]


# ---- points -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A place on a curve, over all seeds.

    Attributes:
        curve: its name; ``schedule``: ``fixed`` or ``annealed``; ``place``: the options that vary,
            or the step.
        rate_weight: λ at the step; ``seeds``: how many there are.
        nll, rate, total: bits per word; ``over``: of these what the rate is over the reference.
        perplexity: of the codebooks; ``unused``: percent of their entries that no sentence uses;
        ``bleu``: 0 to 100; ``exact``: percent of the sentences.
    """

    curve: Annotated[str, Column("curve")]
    schedule: Annotated[str, Column("schedule")]
    place: Annotated[str, Column("point")]
    rate_weight: Annotated[float, Column("lambda", ".3f")]
    seeds: Annotated[int, Column("seeds")]
    nll: Annotated[Spread | None, Column("NLL", ".2f")]
    rate: Annotated[Spread | None, Column("rate", ".2f")]
    total: Annotated[Spread | None, Column("total", ".2f")]
    over: Annotated[Spread | None, Column("over", "+.2f")]
    perplexity: Annotated[Spread | None, Column("codebook", ".1f")]
    unused: Annotated[Spread | None, Column("unused (%)", ".1f")]
    bleu: Annotated[Spread | None, Column("BLEU", ".1f")]
    exact: Annotated[Spread | None, Column("exact (%)", ".1f")]


def point_table(results: Results) -> Table:
    """Return a line for each place of each curve; failed and unfinished runs are in the notes."""
    rows = []
    for curve in results.curves:
        for schedule in SCHEDULES:
            over = {} if curve == results.reference else _over(results, curve, schedule)
            rows += [_place(marks, over) for marks in by_place(results, curve, schedule)]
    notes = [
        f"NLL, rate and total are in bits per {results.per}: mean over seeds [lowest, highest]. "
        f"over: rate minus the rate of {results.reference} at the same NLL, where it has one. "
        "codebook: how many entries of a codebook are in use, counted as perplexity. unused: "
        "entries that no sentence of the text uses. BLEU: how similar the sentences that come "
        "back are to the originals, 0 to 100; exact: those that come back unchanged.",
        *(f"{missing.summary}: {', '.join(missing.names)}." for missing in shortfall(results)),
    ]
    return Table(f"points, {Path(results.text).name}", columns(Place), rows, tuple(notes))


def _over(results: Results, curve: str, schedule: str) -> dict[tuple[str, int], float | None]:
    """Return what each point costs over the reference, by the name of its run and its step."""
    references = fronts(results, results.reference, schedule)
    found = {}
    for seed, marks in by_seed(results, curve, schedule).items():
        for mark in marks:
            is_code = mark.point.evaluation.is_code
            least = rate_at(mark.nll, references.get(seed, [])) if is_code else None
            over = None if least is None else mark.rate - least
            found[(mark.run.name, mark.point.step)] = over
    return found


def _place(marks: Sequence[Mark], over: dict[tuple[str, int], float | None]) -> Place:
    def spread(value: Callable[[Mark], float | None]) -> Spread | None:
        return Spread.of((mark.run.seed, value(mark)) for mark in marks)

    first = marks[0]
    return Place(
        curve=first.run.curve,
        schedule=first.run.schedule,
        place=first.place,
        rate_weight=first.point.evaluation.rate_weight,
        seeds=len({mark.run.seed for mark in marks}),
        nll=spread(lambda mark: mark.nll),
        rate=spread(lambda mark: mark.rate),
        total=spread(lambda mark: mark.point.evaluation.total.word),
        over=spread(lambda mark: over.get((mark.run.name, mark.point.step))),
        perplexity=spread(lambda mark: _part(mark.point.evaluation.codebooks, "perplexity")),
        unused=spread(lambda mark: _part(mark.point.evaluation.codebooks, "unused", 100)),
        bleu=spread(lambda mark: _part(mark.point.evaluation.reconstruction, "bleu")),
        exact=spread(lambda mark: _part(mark.point.evaluation.reconstruction, "exact", 100)),
    )


def _part(of: object, name: str, times: float = 1) -> float | None:
    return None if of is None else times * getattr(of, name)
