"""The figure of a sweep: rate against NLL, of every seed, with mean and range over seeds."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from itertools import cycle
from textwrap import fill
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onmt_lattice.errors import UserError
from onmt_lattice.report.curves import Mark, Spread, by_place, by_seed, shortfall, trade_off
from onmt_lattice.report.plotting import check_format, draw_entropy, label_axes, save
from onmt_lattice.report.results import Results
from onmt_lattice.sweep.manifest import FAILED
from onmt_lattice.sweep.run import ANNEALED, FIXED, READINGS

SIZE = (8.0, 5.4)  # inches
MARGIN = 0.06  # of the view, beyond what it shows
NOTE_WIDTH = 125  # characters
DASHES = {FIXED: "-", ANNEALED: (0, (4, 2))}
WORDS = {FIXED: "fixed λ", ANNEALED: "annealed λ"}
# Colours and markers of those that belong together: the Gaussian is grey, lattices are cold and
# angular, straight-through quantizers warm triangles. Markers tell apart what some eyes do not.
GREY = (("#000000", "#7F7F7F", "#4D4D4D"), ("o", "8"))
COLD = (("#0072B2", "#009E73", "#56B4E9", "#332288", "#44AA99", "#117733"), ("s", "D", "P", "X"))
WARM = (("#D55E00", "#E69F00", "#CC79A7", "#882255", "#A6761D"), ("^", "v", "<", ">"))
OTHER = (("#7A5195", "#8A8D00", "#B0413E"), ("*", "p", "h", "d"))
FAMILIES = {
    "gaussian": GREY,
    "none": GREY,
    "lattice": COLD,
    "ste_scalar": WARM,
    "ste_vector": WARM,
}


class Style(NamedTuple):
    """How a curve is drawn, whatever its reading."""

    colour: str
    marker: str


def draw(results: Results, path: str | os.PathLike[str]) -> None:
    """Draw ``results`` to a PNG, SVG or PDF file, written whole or not at all.

    Raises:
        UserError: for another kind of file, or if there is nothing to draw.
    """
    check_format(path)
    save(figure(results), path)


def figure(results: Results) -> Figure:
    """Return the figure: NLL across and rate up, both in bits a word.

    A curve has one colour and marker; its points at fixed λ are filled and joined by solid lines,
    those of annealed runs hollow and joined by dashes. Where there are several seeds each is thin
    and light, and their mean at each place thick, with a cross from the lowest to the highest.
    Every evaluated checkpoint is an artist of its own with the gid ``point-<run>-<step>``.

    The view is that of the fixed points and of annealed runs from their lowest NLL on; how many
    points lie outside is said below, as is every run that failed.

    Raises:
        UserError: if there is nothing to draw.
    """
    marks = [Mark(run, point) for run in results.runs for point in run.points]
    if not marks:
        raise UserError("nothing to draw: no run of the sweep has an evaluated checkpoint")
    drawn = Figure(figsize=SIZE, dpi=150, layout="constrained")
    axes = drawn.add_subplot()
    _set_view(axes, results)
    looks = styles(results)
    for name, style in looks.items():
        for reading in READINGS:
            _draw_curve(axes, results, name, reading, style)
    evaluations = [mark.point.evaluation for mark in marks]
    draw_entropy(axes, evaluations)
    label_axes(axes, evaluations)
    handles = _legend(results, looks)
    drawn.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    notes = fill(" ".join(_notes(axes, results, marks)), NOTE_WIDTH, break_on_hyphens=False)
    if notes:
        drawn.supxlabel(notes, x=0.01, ha="left", fontsize=7.5, color="0.3")
    return drawn


# ---- looks --------------------------------------------------------------------------------------


def styles(results: Results) -> dict[str, Style]:
    """Return the look of every curve: the next of its family, whether it has points or not."""
    families = {id(family): _looks(*family) for family in (*FAMILIES.values(), OTHER)}
    return {
        name: next(families[id(FAMILIES.get(_bottleneck(results, name), OTHER))])
        for name in results.curves
    }


def _looks(colours: Sequence[str], markers: Sequence[str]) -> Iterator[Style]:
    """Yield colour and marker in step, then the colours again, each with its next marker."""
    for turn in cycle(range(len(markers))):
        for number, colour in enumerate(colours):
            yield Style(colour, markers[(number + turn) % len(markers)])


def _bottleneck(results: Results, curve: str) -> str:
    points = [point for run in results.runs if run.curve == curve for point in run.points]
    drawn = points[0].evaluation.bottleneck if points else ""
    return str(results.curves[curve].get("bottleneck", drawn))


def _line(style: Style, reading: str) -> dict[str, Any]:
    return {"color": style.colour, "linestyle": DASHES[reading]}


def _marker(style: Style, reading: str) -> dict[str, Any]:
    face = style.colour if reading == FIXED else "white"
    return {
        "color": style.colour,
        "marker": style.marker,
        "markerfacecolor": face,
        "markeredgewidth": 1.1,
    }


# ---- curves -------------------------------------------------------------------------------------


def _draw_curve(axes: Any, results: Results, name: str, reading: str, style: Style) -> None:
    seeds = by_seed(results, name, reading)
    several = len(seeds) > 1
    for marks in seeds.values():
        look = {"linewidth": 0.7, "alpha": 0.4} if several else {"linewidth": 1.5}
        across, up = [mark.nll for mark in marks], [mark.rate for mark in marks]
        axes.plot(across, up, **_line(style, reading), **look)
    if several:
        _draw_means(axes, by_place(results, name, reading), style, reading)
    for marks in seeds.values():
        look = {"markersize": 3.0, "alpha": 0.5} if several else {"markersize": 6.0}
        for mark in marks:
            at, drawn = ([mark.nll], [mark.rate]), _marker(style, reading)
            axes.plot(*at, linestyle="", **drawn, **look, gid=mark.gid, zorder=3)


def _draw_means(axes: Any, places: Sequence[Sequence[Mark]], style: Style, reading: str) -> None:
    """Draw the mean over seeds at each place that none has diverged at, with a cross of ranges."""
    places = [marks for marks in places if all(map(_finite, marks))]
    across = [Spread({mark.run.seed: mark.nll for mark in marks}) for marks in places]
    up = [Spread({mark.run.seed: mark.rate for mark in marks}) for marks in places]
    axes.errorbar(
        [nll.mean for nll in across],
        [rate.mean for rate in up],
        xerr=_bars(across),
        yerr=_bars(up),
        elinewidth=0.9,
        linewidth=1.5,
        markersize=6,
        **{**_line(style, reading), **_marker(style, reading)},
    )


def _finite(mark: Mark) -> bool:
    return math.isfinite(mark.nll) and math.isfinite(mark.rate)


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
        for reading in READINGS
        for marks in by_seed(results, name, reading).values()
        for mark in trade_off(marks, reading)
        if _finite(mark)
    ]
    if not shown:
        return
    nll, rate = [mark.nll for mark in shown], [mark.rate for mark in shown]
    margin = MARGIN * (max(nll) - min(nll)) or 0.5
    axes.set_xlim(min(nll) - margin, max(nll) + margin)
    axes.set_ylim(min(0, *rate), (1 + MARGIN) * max(rate) or 1)


def _legend(results: Results, looks: dict[str, Style]) -> list[Line2D]:
    """Return the entries of the legend: curves that have points, readings, and what seeds are."""
    drawn = [run for run in results.runs if run.points]
    readings = [reading for reading in READINGS if any(run.reading == reading for run in drawn)]
    handles = []
    for name, style in looks.items():
        own = [reading for reading in readings if by_seed(results, name, reading)]
        if own:
            handles.append(_handle(name, style, own[0]))
    grey = Style("0.45", "o")
    handles += [Line2D([], [], linestyle="", label=" ")]
    handles += [_handle(WORDS[reading], grey, reading) for reading in readings]
    if len({run.seed for run in drawn}) > 1:
        handles += [
            Line2D([], [], color="0.45", linewidth=0.7, alpha=0.7, label="one seed"),
            Line2D([], [], color="0.45", linewidth=1.5, label="mean over seeds"),
            Line2D(
                [],
                [],
                color="0.45",
                linestyle="",
                marker="+",
                markersize=11,
                label="range of seeds",
            ),
        ]
    return handles


def _handle(label: str, style: Style, reading: str) -> Line2D:
    look = {**_line(style, reading), **_marker(style, reading)}
    return Line2D([], [], **look, markersize=6, linewidth=1.5, label=label)


def _notes(axes: Any, results: Results, marks: Sequence[Mark]) -> list[str]:
    """Return what is not in the figure: runs that failed, by name, others, and points outside."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    inside = sum(left <= mark.nll <= right and bottom <= mark.rate <= top for mark in marks)
    notes = []
    for missing in shortfall(results):
        names = f": {', '.join(missing.names)}" if missing.status == FAILED else ""
        notes.append(f"{missing.summary}{names}.")
    if inside < len(marks):
        notes.append(f"{len(marks) - inside} of {len(marks)} points lie outside of the view.")
    return notes
