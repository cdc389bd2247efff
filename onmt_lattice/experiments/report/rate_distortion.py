"""Rate-distortion of lossy coding: bytes a sentence against BLEU and chrF of what comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

from matplotlib.figure import Figure

from onmt_lattice.bottlenecks import has_code
from onmt_lattice.evaluation.result import Evaluation, Reconstruction
from onmt_lattice.experiments.report.curves import Mark, Spread, by_place
from onmt_lattice.experiments.report.figure import Coordinates, draw_curve, legend
from onmt_lattice.experiments.report.results import SCHEDULES, Results
from onmt_lattice.experiments.report.style import curve_styles
from onmt_lattice.experiments.tables import Column, Table, columns

SIZE = (8.0, 5.2)  # inches
FILE, RATE = "file", "rate / 8"
FROM_FILE = "Bytes: the size of the whole file that compress writes of the text, per sentence."
FROM_RATE = "Bytes: the rate divided by 8. No files were written, as evaluate had no -coded."
FROM_BOTH = (
    f"Bytes: the size of the whole file that compress writes, per sentence ({FILE!r}), or where a "
    f"point was evaluated without -coded its rate divided by 8 ({RATE!r})."
)
BRACKETS = "Numbers are means over seeds, with the lowest and the highest in brackets."


def bytes_a_sentence(e: Evaluation) -> float:
    """Return the bytes of the file of the text a sentence, or where there is none the rate's."""
    return e.rate.sentence / 8 if e.coded is None else e.coded.bits / 8 / e.sentences


def decoded(results: Results) -> Results:
    """Return ``results`` with those points alone that have a code and decoded the text."""
    return replace(
        results,
        runs=[
            replace(r, points=[p for p in r.points if _drawn(p.evaluation)]) for r in results.runs
        ],
    )


def _drawn(e: Evaluation) -> bool:
    return (
        e.reconstruction is not None
        and math.isfinite(bytes_a_sentence(e))
        and (e.coded is not None or has_code(e.bottleneck, e.settings))
    )


# ---- the figure ---------------------------------------------------------------------------------


class Measure(NamedTuple):
    """A measure of what comes back: a panel of the figure, by its name."""

    name: str
    field: str

    @property
    def at(self) -> Coordinates:
        """Where points stand in its panel."""
        return Coordinates(
            lambda mark: bytes_a_sentence(mark.point.evaluation),
            lambda mark: float(getattr(_reconstruction(mark), self.field)),
            f"{self.field}-",
        )


MEASURES = (Measure("BLEU", "bleu"), Measure("chrF", "chrf"))


def rate_distortion(results: Results) -> Figure:
    """Return a figure of bytes a sentence across and up, in a panel each, BLEU and chrF.

    Curves and seeds look as in the figure of rate against NLL; :func:`point_gids` are the gids. At
    least one point must be among the :func:`decoded`.
    """
    shown, looks = decoded(results), curve_styles(results)
    figure = Figure(figsize=SIZE, layout="constrained")
    for axes, measure in zip(figure.subplots(1, len(MEASURES)), MEASURES, strict=True):
        for name, style in looks.items():
            for schedule in SCHEDULES:
                draw_curve(axes, shown, name, schedule, style, measure.at)
        axes.set_title(f"{measure.name} of what comes back", fontsize=10)
        axes.set_xlabel("bytes per sentence")
        axes.set_ylabel(measure.name)
        axes.set_xlim(left=0)
        axes.grid(color="0.9", linewidth=0.6)
    handles = legend(shown, looks)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def point_gids(mark: Mark) -> list[str]:
    """Return the gids of a point, one for each panel."""
    return [f"{measure.at.prefix}{mark.gid}" for measure in MEASURES]


def _reconstruction(mark: Mark) -> Reconstruction:
    found = mark.point.evaluation.reconstruction
    assert found is not None  # of those decoded
    return found


# ---- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A place on a curve, of all seeds.

    Attributes:
        curve: its name; ``schedule``: ``fixed`` or ``annealed``; ``place``: where on it.
        seeds: how many.
        bytes: a sentence; ``origin``: where these are from.
        bleu, chrf: of what comes back, 0 to 100; ``exact``: sentences back to the letter, in
            percent.
    """

    curve: Annotated[str, Column("curve")]
    schedule: Annotated[str, Column("schedule")]
    place: Annotated[str, Column("point")]
    seeds: Annotated[int, Column("seeds")]
    bytes: Annotated[Spread, Column("bytes per sentence", ".2f")]
    origin: Annotated[str, Column("bytes of")]
    bleu: Annotated[Spread, Column("BLEU", ".1f")]
    chrf: Annotated[Spread, Column("chrF", ".1f")]
    exact: Annotated[Spread, Column("exact (%)", ".1f")]


def rate_distortion_table(results: Results) -> Table:
    """Return a line for each place of a curve among the :func:`decoded`, with notes."""
    shown = decoded(results)
    rows = [
        _place(marks)
        for name in results.curves
        for schedule in SCHEDULES
        for marks in by_place(shown, name, schedule)
    ]
    origins = {row.origin for row in rows}
    whence = {frozenset([FILE]): FROM_FILE, frozenset([RATE]): FROM_RATE}
    notes = [whence.get(frozenset(origins), FROM_BOTH), *_left_out(results)]
    if any(row.seeds > 1 for row in rows):
        notes.append(BRACKETS)
    title = f"bytes per sentence, and what comes back, {Path(results.text).name}"
    return Table(title, columns(Place), rows, tuple(notes))


def _place(marks: list[Mark]) -> Place:
    first, scores = marks[0], [_reconstruction(mark) for mark in marks]
    origins = {RATE if mark.point.evaluation.coded is None else FILE for mark in marks}

    def spread(values: list[float]) -> Spread:
        return Spread({mark.run.seed: v for mark, v in zip(marks, values, strict=True)})

    return Place(
        curve=first.run.curve,
        schedule=first.run.schedule,
        place=first.place,
        seeds=len(marks),
        bytes=spread([bytes_a_sentence(mark.point.evaluation) for mark in marks]),
        origin=" or ".join(sorted(origins)),
        bleu=spread([score.bleu for score in scores]),
        chrf=spread([score.chrf for score in scores]),
        exact=spread([100 * score.exact for score in scores]),
    )


def _left_out(results: Results) -> list[str]:
    """Return a note on the curves that decoded the text from what has no code."""
    shown = {run.curve for run in decoded(results).runs if run.points}
    other = {
        run.curve
        for run in results.runs
        if any(point.evaluation.reconstruction is not None for point in run.points)
    }
    names = [f"‘{name}’" for name in results.curves if name in other - shown]
    if not names:
        return []
    return [f"Not shown, as no file can hold their codes: {', '.join(names)}."]
