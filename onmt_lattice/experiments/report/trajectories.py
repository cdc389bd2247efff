"""λ, NLL and rate while the models were trained, as training reported them."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.figure import Figure

from onmt_lattice.experiments.report.results import Results, RunResult
from onmt_lattice.experiments.report.style import Style, curve_styles

QUANTITIES = ("λ", "NLL (bits per token)", "rate (bits per token)")
WIDTH, ROW_HEIGHT, MARGIN = 7.5, 1.2, 0.7  # inches
MOST_REPORTS = 200  # of one run that are drawn: evenly spaced, the last one too


def trajectories(results: Results) -> Figure:
    """Return a figure with a row a curve, in its colour, and a column a quantity.

    Every run that has a history is a thin line: solid at fixed λ, dashed where λ is annealed. Its
    gids are those of :func:`gids`. At least one run must have a history.
    """
    looks = curve_styles(results)
    curves = [name for name in results.curves if any(of_curve(results, name))]
    with matplotlib.rc_context({"font.size": 9}):
        size = (WIDTH, MARGIN + ROW_HEIGHT * len(curves))
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
