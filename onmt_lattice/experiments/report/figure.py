"""The figure of a sweep: rate against NLL, of every seed, with mean and range over seeds."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.report.curves import (
    Mark,
    Spread,
    by_place,
    by_seed,
    shortfall,
    trade_off,
)
from onmt_lattice.experiments.report.plotting import (
    check_format,
    handle,
    label_axes,
    new_figure,
    save,
)
from onmt_lattice.experiments.report.results import FAILED, SCHEDULES, Results
from onmt_lattice.experiments.report.style import (
    KIND_DASHES,
    KIND_WORDS,
    WORDS,
    Style,
    curve_styles,
    kinds,
)

MARGIN = 0.06  # of the view, beyond what it shows
NOTE_WIDTH = 125  # characters
GREY = Style("0.45", "o")


class Coordinates(NamedTuple):
    """Where in a figure a point of a curve stands, and what goes before its gid there."""

    across: Callable[[Mark], float]
    up: Callable[[Mark], float]
    prefix: str = ""

    def finite(self, mark: Mark) -> bool:
        """Return whether it stands anywhere."""
        return math.isfinite(self.across(mark)) and math.isfinite(self.up(mark))


RATE_NLL = Coordinates(lambda mark: mark.nll, lambda mark: mark.rate)


def draw(results: Results, path: str | os.PathLike[str]) -> None:
    """Draw ``results`` to a PNG, SVG or PDF file, written whole or not at all.

    Raises:
        UserError: for another kind of file, or if there is nothing to draw.
    """
    check_format(path)
    save(figure(results), path)


def figure(results: Results) -> Figure:
    """Return the figure: NLL across and rate up, both in bits per ``results.per``.

    A curve has one colour and marker, those of one lattice the same colour; its points at fixed λ
    are filled and joined by solid lines, or by those of its kind where there are several, those of
    annealed runs hollow and joined by dashes. Where there are several seeds each is thin and light,
    and their mean at each place thick, with a cross from the lowest to the highest.
    Every evaluated checkpoint is an artist of its own with the gid ``point-<run>-<step>``.

    The view is that of the fixed points and of annealed runs from their lowest NLL on; how many
    points lie outside is said below, as is every run that failed.

    Raises:
        UserError: if there is nothing to draw.
    """
    marks = [Mark(run, point) for run in results.runs for point in run.points]
    if not marks:
        raise UserError("nothing to draw: no run of the sweep has an evaluated checkpoint")
    drawn, axes = new_figure()
    _set_view(axes, results)
    looks = curve_styles(results)
    for name, style in looks.items():
        for schedule in SCHEDULES:
            draw_curve(axes, results, name, schedule, style, RATE_NLL)
    label_axes(axes, [mark.point.evaluation for mark in marks], results.per)
    handles = legend(results, looks)
    drawn.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    notes = fill(" ".join(_notes(axes, results, marks)), NOTE_WIDTH, break_on_hyphens=False)
    if notes:
        drawn.supxlabel(notes, x=0.01, ha="left", fontsize=7.5, color="0.3")
    return drawn


# ---- curves -------------------------------------------------------------------------------------


def draw_curve(
    axes: Any, results: Results, name: str, schedule: str, style: Style, at: Coordinates
) -> None:
    """Draw a schedule of the curve ``name``: each seed and, of several, mean and range."""
    seeds = by_seed(results, name, schedule)
    several = len(seeds) > 1
    for marks in seeds.values():
        look = {"linewidth": 0.7, "alpha": 0.4} if several else {}
        across, up = [at.across(mark) for mark in marks], [at.up(mark) for mark in marks]
        axes.plot(across, up, **style.line(schedule) | look)
    if several:
        _draw_means(axes, by_place(results, name, schedule), style, schedule, at)
    for marks in seeds.values():
        look = {"markersize": 3.0, "alpha": 0.5} if several else {}
        for mark in marks:
            drawn = style.points(schedule) | look
            place = [at.across(mark)], [at.up(mark)]
            axes.plot(*place, **drawn, gid=f"{at.prefix}{mark.gid}", zorder=3)


def _draw_means(
    axes: Any, places: Sequence[Sequence[Mark]], style: Style, schedule: str, at: Coordinates
) -> None:
    """Draw the mean over seeds at each place that none has diverged at, with a cross of ranges."""
    places = [marks for marks in places if all(map(at.finite, marks))]
    across = [Spread({mark.run.seed: at.across(mark) for mark in marks}) for marks in places]
    up = [Spread({mark.run.seed: at.up(mark) for mark in marks}) for marks in places]
    axes.errorbar(
        [spread.mean for spread in across],
        [spread.mean for spread in up],
        xerr=_bars(across),
        yerr=_bars(up),
        elinewidth=0.9,
        **style.both(schedule),
    )


def _bars(spreads: Sequence[Spread]) -> list[list[float]]:
    """Return how far the lowest and the highest lie from each mean."""
    below = [spread.mean - spread.lowest for spread in spreads]
    return [below, [spread.highest - spread.mean for spread in spreads]]


# ---- around the curves --------------------------------------------------------------------------


def _set_view(axes: Any, results: Results) -> None:
    """Leave out of view what an annealed run does before its lowest NLL."""
    shown = [
        mark
        for name in results.curves
        for schedule in SCHEDULES
        for marks in by_seed(results, name, schedule).values()
        for mark in trade_off(marks, schedule)
        if RATE_NLL.finite(mark)
    ]
    if not shown:
        return
    nll, rate = [mark.nll for mark in shown], [mark.rate for mark in shown]
    margin = MARGIN * (max(nll) - min(nll)) or 0.5
    axes.set_xlim(min(nll) - margin, max(nll) + margin)
    axes.set_ylim(min(0, *rate), (1 + MARGIN) * max(rate) or 1)


def legend(results: Results, looks: dict[str, Style]) -> list[Line2D]:
    """Return the entries of the legend: curves that have points, schedules, and what seeds are."""
    drawn = [run for run in results.runs if run.points]
    schedules = [
        schedule for schedule in SCHEDULES if any(run.schedule == schedule for run in drawn)
    ]
    handles = []
    for name, style in looks.items():
        own = [schedule for schedule in schedules if by_seed(results, name, schedule)]
        handles += [handle(name, style, schedule) for schedule in own[:1]]
    handles += [_entry(" ")]
    handles += [handle(WORDS[schedule], GREY, schedule) for schedule in schedules]
    handles += [
        _entry(KIND_WORDS[kind], linestyle=KIND_DASHES[kind], linewidth=1.5)
        for kind in kinds(results)
    ]
    if len({run.seed for run in drawn}) > 1:
        handles += [
            _entry("one seed", linestyle="-", linewidth=0.7, alpha=0.7),
            _entry("mean over seeds", linestyle="-", linewidth=1.5),
            _entry("range of seeds", marker="+", markersize=11),
        ]
    return handles


def _entry(label: str, **look: Any) -> Line2D:
    return Line2D([], [], **{"color": GREY.colour, "linestyle": "", "label": label, **look})


def _notes(axes: Any, results: Results, marks: Sequence[Mark]) -> list[str]:
    """Return what is not in the figure: runs that failed, by name, others, and points outside."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    inside = sum(left <= mark.nll <= right and bottom <= mark.rate <= top for mark in marks)
    notes = []
    for missing in shortfall(results):
        names = f": {', '.join(missing.names)}" if missing.status == FAILED else ""
        notes.append(f"{missing.summary}{names}.")
    if inside < len(marks):
        notes.append(f"{len(marks) - inside} of {len(marks)} points lie outside this view.")
    return notes
