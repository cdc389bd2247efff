"""Rate-distortion of lossy coding: bytes per sentence against BLEU and chrF of the outcome."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from onmt_lattice.bottlenecks import has_code
from onmt_lattice.evaluation.result import Evaluation
from onmt_lattice.experiments.report.curves import (
    POINT_COLUMNS,
    Mark,
    Measures,
    by_point,
    point_row,
)
from onmt_lattice.experiments.report.figure import Coordinates, draw_curve, legend
from onmt_lattice.experiments.report.plotting import curve_styles
from onmt_lattice.experiments.report.results import SCHEDULES, Results
from onmt_lattice.experiments.tables import Column, Table

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
    """Return the bytes per sentence of the text's file, or of its rate without one."""
    return e.rate.sentence / 8 if e.coded is None else e.coded.bits / 8 / e.sentences


def decoded(results: Results) -> Results:
    """Return ``results`` with those points alone that have a code and decoded the text."""

    def drawn(e: Evaluation) -> bool:
        coded = e.coded is not None or has_code(e.bottleneck, e.settings)
        return e.reconstruction is not None and math.isfinite(bytes_a_sentence(e)) and coded

    runs = [replace(r, points=[p for p in r.points if drawn(p.evaluation)]) for r in results.runs]
    return replace(results, runs=runs)


PANELS = {"bleu": "BLEU", "chrf": "chrF"}


def _bytes(mark: Mark) -> float:
    return bytes_a_sentence(mark.point.evaluation)


def _score(mark: Mark, field: str) -> float:
    """Return a score of a point among the :func:`decoded`."""
    return float(getattr(mark.point.evaluation.reconstruction, field))


def _at(field: str) -> Coordinates:
    return Coordinates(_bytes, lambda mark: _score(mark, field), f"{field}-")


def rate_distortion(results: Results) -> Figure:
    """Return a figure of bytes per sentence across and up, in a panel each, BLEU and chrF.

    Curves and seeds look as in the figure of rate against NLL; :func:`point_gids` are the gids. At
    least one point must be among the :func:`decoded`.
    """
    shown, looks = decoded(results), curve_styles(results)
    figure = Figure(figsize=SIZE, layout="constrained")
    for axes, (field, score) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for name, style in looks.items():
            for schedule in SCHEDULES:
                draw_curve(axes, shown, name, schedule, style, _at(field))
        axes.set_title(f"{score} of what comes back", fontsize=10)
        axes.set_xlabel("bytes per sentence")
        axes.set_ylabel(score)
        axes.set_xlim(left=0)
        axes.grid(color="0.9", linewidth=0.6)
    handles = legend(shown, looks)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def point_gids(mark: Mark) -> list[str]:
    """Return the gids of a point, one for each panel."""
    return [f"{_at(field).prefix}{mark.gid}" for field in PANELS]


MEASURES: Measures = {
    "bytes": (Column("bytes per sentence", ".2f"), _bytes),
    "bleu": (Column("BLEU", ".1f"), lambda mark: _score(mark, "bleu")),
    "chrf": (Column("chrF", ".1f"), lambda mark: _score(mark, "chrf")),
    "exact": (Column("exact (%)", ".1f"), lambda mark: 100 * _score(mark, "exact")),
}


def rate_distortion_table(results: Results) -> Table:
    """Return a line for each point of a curve among the :func:`decoded`, with notes."""
    shown = decoded(results)
    rows = []
    for name in results.curves:
        for schedule in SCHEDULES:
            for marks in by_point(shown, name, schedule):
                origins = {FILE if mark.point.evaluation.coded else RATE for mark in marks}
                row = point_row(marks, MEASURES, origin=" or ".join(sorted(origins)))
                rows.append(row)
    origin_notes = {(FILE,): FROM_FILE, (RATE,): FROM_RATE}
    notes = [
        origin_notes.get(tuple({row.origin for row in rows}), FROM_BOTH),
        *_skipped(results, shown),
    ]
    if any(row.seeds > 1 for row in rows):
        notes.append(BRACKETS)
    size, *scores = [(field, column) for field, (column, _) in MEASURES.items()]
    columns = {**POINT_COLUMNS, "seeds": Column("seeds")}
    columns |= dict([size, ("origin", Column("bytes of")), *scores])
    title = f"bytes per sentence, and what comes back, {Path(results.text).name}"
    return Table(title, columns, rows, tuple(notes))


def _skipped(results: Results, shown: Results) -> list[str]:
    """Return a note on the curves that decoded the text, but have no code."""
    drawn = {run.curve for run in shown.runs if run.points}
    other = {
        run.curve
        for run in results.runs
        if any(point.evaluation.reconstruction is not None for point in run.points)
    }
    names = [f"‘{name}’" for name in results.curves if name in other - drawn]
    return [f"Not shown, as no file can hold their codes: {', '.join(names)}."] if names else []
