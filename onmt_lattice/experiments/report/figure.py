"""The figures of a sweep: rate against NLL of every seed, and the course of its trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onmt_lattice.experiments.report import plotting
from onmt_lattice.experiments.report.curves import (
    Mark,
    Spread,
    by_point,
    by_seed,
    shortfall,
    trade_off,
)
from onmt_lattice.experiments.report.plotting import Style, curve_styles, handle, kinds
from onmt_lattice.experiments.report.results import FAILED, SCHEDULES, Results, RunResult

MARGIN = 0.06  # of the view, beyond what it shows
NOTE_WIDTH = 125  # characters
GREY = Style("0.45", "o")
QUANTITIES = ("λ", "NLL (bits per token)", "rate (bits per token)")
WIDTH, ROW_HEIGHT, TOP_AND_BOTTOM = 7.5, 1.2, 0.7  # of the figure of trainings, in inches
MOST_REPORTS = 200  # of one run that are drawn: evenly spaced, the last one too


class Coordinates(NamedTuple):
    """The coordinates of a point in a figure, and the prefix of its gid there."""

    across: Callable[[Mark], float]
    up: Callable[[Mark], float]
    prefix: str = ""

    def finite(self, mark: Mark) -> bool:
        """Return whether both are finite."""
        return math.isfinite(self.across(mark)) and math.isfinite(self.up(mark))


RATE_NLL = Coordinates(lambda mark: mark.nll, lambda mark: mark.rate)


def figure(results: Results) -> Figure:
    """Return the figure: NLL across and rate up, both in bits per ``results.per``.

    A curve has one colour and marker, those of one lattice the same colour; its points at fixed λ
    are filled and joined by solid lines, or by those of its kind where there are several, those of
    annealed runs hollow and joined by dashes. Where there are several seeds each is thin and light,
    and their mean at each point thick, with a cross from the lowest to the highest.
    Every evaluated checkpoint is an artist of its own with the gid ``point-<run>-<step>``.

    The view is that of the fixed points and of annealed runs from their lowest NLL on; how many
    points lie outside is noted below, as is every run that failed.
    """
    marks = [Mark(run, point) for run in results.runs for point in run.points]
    drawn, axes = plotting.new_figure()
    _set_view(axes, results)
    looks = curve_styles(results)
    for name, style in looks.items():
        for schedule in SCHEDULES:
            draw_curve(axes, results, name, schedule, style, RATE_NLL)
    plotting.label_axes(axes, [mark.point.evaluation for mark in marks], results.per)
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
    seeds = by_seed(results, name, schedule).values()
    thin = {"linewidth": 0.7, "alpha": 0.4} if len(seeds) > 1 else {}
    small = {"markersize": 3.0, "alpha": 0.5} if len(seeds) > 1 else {}
    for marks in seeds:
        across, up = [at.across(mark) for mark in marks], [at.up(mark) for mark in marks]
        axes.plot(across, up, **style.line(schedule) | thin)
    if len(seeds) > 1:
        _draw_means(axes, by_point(results, name, schedule), style, schedule, at)
    for mark in (mark for marks in seeds for mark in marks):
        look = style.points(schedule) | small | {"gid": f"{at.prefix}{mark.gid}", "zorder": 3}
        axes.plot([at.across(mark)], [at.up(mark)], **look)


def _draw_means(
    axes: Any, points: Sequence[Sequence[Mark]], style: Style, schedule: str, at: Coordinates
) -> None:
    """Draw the mean over seeds at each point that none has diverged at, with a cross of ranges."""
    finite = [marks for marks in points if all(map(at.finite, marks))]
    means, bars = [], []
    for axis in (at.across, at.up):
        spreads = [Spread({mark.run.seed: axis(mark) for mark in marks}) for marks in finite]
        means.append([spread.mean for spread in spreads])
        below = [spread.mean - spread.ends[0] for spread in spreads]
        bars.append([below, [spread.ends[1] - spread.mean for spread in spreads]])
    axes.errorbar(*means, xerr=bars[0], yerr=bars[1], elinewidth=0.9, **style.both(schedule))


def _set_view(axes: Any, results: Results) -> None:
    """Hide the points of annealed runs before their lowest NLL."""
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
    """Return the entries of the legend: curves that have points, schedules, kinds and seeds."""
    drawn = [run for run in results.runs if run.points]
    present = {run.schedule for run in drawn}
    schedules = [schedule for schedule in SCHEDULES if schedule in present]
    handles = []
    for name, style in looks.items():
        own = [schedule for schedule in schedules if by_seed(results, name, schedule)]
        handles += [handle(name, style, schedule) for schedule in own[:1]]
    handles += [_entry(" ")]
    handles += [handle(plotting.WORDS[schedule], GREY, schedule) for schedule in schedules]
    words, dashes = plotting.KIND_WORDS, plotting.KIND_DASHES
    handles += [
        _entry(words[kind], linestyle=dashes[kind], linewidth=1.5) for kind in kinds(results)
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
    """Return notes on unfinished runs, those that failed by name, and on points outside."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    inside = sum(left <= mark.nll <= right and bottom <= mark.rate <= top for mark in marks)
    notes = []
    for missing in shortfall(results):
        names = f": {', '.join(missing.names)}" if missing.status == FAILED else ""
        notes.append(f"{missing.summary}{names}.")
    if inside < len(marks):
        notes.append(f"{len(marks) - inside} of {len(marks)} points lie outside this view.")
    return notes


# ---- trainings ----------------------------------------------------------------------------------


def trajectories(results: Results) -> Figure:
    """Return λ, NLL and rate as training reported them: a row per curve, a column per quantity.

    Every run that has a history is a thin line: solid at fixed λ, dashed where λ is annealed. Its
    gids are those of :func:`gids`. At least one run must have a history.
    """
    looks = curve_styles(results)
    curves = [name for name in results.curves if any(of_curve(results, name))]
    with matplotlib.rc_context({"font.size": 9}):
        size = (WIDTH, TOP_AND_BOTTOM + ROW_HEIGHT * len(curves))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(curves), 3, sharex="all", sharey="col", squeeze=False)
        for name, row in zip(curves, grid, strict=True):
            for run in of_curve(results, name):
                _draw(row, run, looks[name])
            row[0].set_ylabel(name.replace(" ", "\n"), rotation=0, ha="right", va="center")
        for axes, quantity in zip(grid[0], QUANTITIES, strict=True):
            axes.set_title(quantity, fontsize=10)
        for axes in grid[-1]:
            axes.set_xlabel("training step")
    return figure


def of_curve(results: Results, name: str) -> list[RunResult]:
    """Return the runs of a curve that have a history."""
    return [run for run in results.runs if run.curve == name and run.history]


def gids(run: RunResult) -> list[str]:
    """Return the gids of the lines of ``run``, one a quantity."""
    return [f"history-{run.name}-{number}" for number in range(len(QUANTITIES))]


def _draw(row: Any, run: RunResult, style: Style) -> None:
    every = -(-len(run.history) // MOST_REPORTS)
    steps, *quantities = zip(*run.history[::-1][::every][::-1], strict=True)
    for axes, values, gid in zip(row, quantities, gids(run), strict=True):
        axes.plot(steps, values, **style.line(run.schedule) | {"linewidth": 0.8, "gid": gid})
        axes.grid(color="0.9", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
