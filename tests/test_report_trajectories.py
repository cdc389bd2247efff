from __future__ import annotations

import math
from dataclasses import replace

import pytest
from made_up_results import annealed, fixed, sweep

from onmt_lattice.experiments.report.trajectories import (
    MOST_REPORTS,
    QUANTITIES,
    gids,
    trajectories,
)


def test_every_run_is_a_line_in_each_panel_of_its_curve() -> None:
    results = replace(
        sweep(), runs=[fixed("gaussian", 0.1, 1), annealed("gaussian", 2), fixed("Z", 0.3, 1)]
    )
    figure = trajectories(results)
    assert len(figure.axes) == 2 * len(QUANTITIES)  # the curves without a run have no row
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines}
    assert len(lines) == len(results.runs) * len(QUANTITIES)
    for run in results.runs:
        for number, gid in enumerate(gids(run)):
            assert list(lines[gid].get_xdata()) == [row[0] for row in run.history]
            assert list(lines[gid].get_ydata()) == [row[1 + number] for row in run.history]
    styles = {run.reading: lines[gids(run)[0]].get_linestyle() for run in results.runs}
    assert styles == {"fixed": "-", "annealed": "--"}


@pytest.mark.parametrize("reports", [1, MOST_REPORTS, MOST_REPORTS + 1, 5 * MOST_REPORTS - 1])
def test_long_histories_are_thinned_out_to_the_last(reports: int) -> None:
    history = [[float(i), 0.1, 3.0, 2.0] for i in range(1, reports + 1)]
    run = replace(fixed("gaussian", 0.1, 1), history=history)
    figure = trajectories(replace(sweep(), runs=[run]))
    steps = [int(step) for step in figure.axes[0].lines[0].get_xdata()]
    assert steps[-1] == reports and len(steps) <= MOST_REPORTS
    assert len(set(map(int.__sub__, steps[1:], steps))) <= 1
    assert len(steps) >= min(reports, MOST_REPORTS // 2)


@pytest.mark.filterwarnings("error")
def test_a_run_that_diverges_ends_where_it_does() -> None:
    """What is not finite is a gap, and the rest is still in view."""
    history = [[10.0, 0.1, 3.0, 2.0], [20.0, 0.1, 2.5, 1.0], [30.0, 0.1, math.nan, math.inf]]
    run = replace(fixed("gaussian", 0.1, 1), history=history)
    figure = trajectories(replace(sweep(), runs=[run]))
    figure.canvas.draw()
    nll, rate = figure.axes[1], figure.axes[2]
    assert nll.get_ylim()[0] < 2.5 < 3.0 < nll.get_ylim()[1] < 4.0
    assert rate.get_ylim()[0] < 1.0 < 2.0 < rate.get_ylim()[1] < 3.0
