"""Bytes a sentence against what comes back, and the course of trainings."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from made_up_results import coded, sweep, whole_run

from onmt_lattice.evaluation.result import Bits
from onmt_lattice.experiments.report.curves import Mark
from onmt_lattice.experiments.report.figure import MOST_REPORTS, QUANTITIES, gids, trajectories
from onmt_lattice.experiments.report.lossy import (
    FROM_BOTH,
    FROM_FILE,
    FROM_RATE,
    bytes_a_sentence,
    decoded,
    point_gids,
    rate_distortion,
    rate_distortion_table,
)
from onmt_lattice.experiments.report.results import RunResult

BITS = {0.1: 88_000, 0.4: 34_001}  # of a file of the 100 sentences, by λ


def filed(curve: str, weight: float, seed: int) -> RunResult:
    """Return a run at fixed λ that was evaluated with -coded."""
    run = whole_run(curve, seed, weight)
    return replace(run, points=[coded(point, BITS[weight] + 8 * seed) for point in run.points])


def points(drawn: Any, panel: int) -> dict[str, Any]:
    """Return the artists of single points by gid."""
    return {line.get_gid(): line for line in drawn.axes[panel].get_lines() if line.get_gid()}


def test_across_are_the_bytes_of_the_file_a_sentence_and_up_bleu_and_chrf() -> None:
    """And the mean over seeds with their range, in the figure and in the table."""
    runs = [filed("E8", weight, seed) for weight in BITS for seed in (1, 2)]
    drawn, rows = rate_distortion(sweep(runs)), rate_distortion_table(sweep(runs)).rows
    assert [axes.get_ylabel() for axes in drawn.axes] == ["BLEU", "chrF"]
    for run in runs:
        (point,) = run.points
        size = (BITS[run.values["rate_weight"]] + 8 * run.seed) / 8 / 100
        back = point.evaluation.reconstruction
        assert back is not None
        for panel, score in enumerate((back.bleu, back.chrf)):
            line = points(drawn, panel)[point_gids(Mark(run, point))[panel]]
            assert line.get_xydata().tolist() == [[pytest.approx(size), score]]
    mean, _, (across, _) = drawn.axes[0].containers[0].lines
    assert [row.point for row in rows] == ["rate_weight 0.1", "rate_weight 0.4"]
    for row, middle, bar in zip(rows, mean.get_xydata(), across.get_segments(), strict=True):
        sizes = [(BITS[float(row.point.split()[1])] + 8 * seed) / 800 for seed in (1, 2)]
        assert list(row.bytes.seeds.values()) == pytest.approx(sizes) == bar[:, 0]
        assert middle == pytest.approx([fmean(sizes), row.bleu.mean])
        assert (row.seeds, row.exact.mean) == (2, pytest.approx(10))


def test_without_a_file_bytes_are_the_rate_s_and_said_to_be() -> None:
    (point,) = whole_run("Z", 1, 0.1).points
    assert bytes_a_sentence(point.evaluation) == point.evaluation.rate.sentence / 8
    assert bytes_a_sentence(coded(point, 8_000).evaluation) == 10
    one, other, second = filed("E8", 0.1, 1), whole_run("Z", 1, 0.1), whole_run("E8", 2, 0.1)
    for runs, note, origins in (
        ([one], FROM_FILE, ["file"]),
        ([other], FROM_RATE, ["rate / 8"]),
        ([one, other], FROM_BOTH, ["rate / 8", "file"]),
        ([one, second], FROM_BOTH, ["file or rate / 8"]),
    ):
        table = rate_distortion_table(sweep(runs))
        assert table.notes[0] == note and [row.origin for row in table.rows] == origins


def test_only_what_decoded_the_text_from_a_code_is_drawn() -> None:
    """The Gaussian's rate is a promise, as is that of an estimated code; a file is a file."""
    z, other = whole_run("Z", 1, 0.1), whole_run("E8", 1, 0.1)

    def changed(**values: Any) -> RunResult:
        (point,) = other.points
        point = replace(point, evaluation=replace(point.evaluation, **values))
        return replace(other, points=[point])

    estimated = changed(settings={"lattice": "E8", "lattice_code": "convolved_gaussian"})
    silent, unknown = changed(reconstruction=None), changed(bottleneck="mine")
    infinite = changed(rate=Bits(*[float("inf")] * 3))
    kept = replace(other, points=[coded(unknown.points[0], 8_000)])
    gaussians = [whole_run("gaussian", 1, 0.1), whole_run("gaussian", 1)]
    results = sweep([*gaussians, z, estimated, silent, unknown, infinite, kept])
    assert [run for run in decoded(results).runs if run.points] == [z, kept]
    assert set(points(rate_distortion(results), 0)) == {
        point_gids(Mark(run, run.points[0]))[0] for run in (z, kept)
    }
    left_out = rate_distortion_table(results).notes[1]
    assert "‘gaussian’" in left_out and "E8" not in left_out and "Z" not in left_out


def test_every_run_is_a_line_in_each_panel_of_its_curve() -> None:
    runs = [whole_run("gaussian", 1, 0.1), whole_run("gaussian", 2), whole_run("Z", 1, 0.3)]
    figure = trajectories(sweep(runs))
    assert len(figure.axes) == 2 * len(QUANTITIES)  # the curves without a run have no row
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines}
    assert len(lines) == len(runs) * len(QUANTITIES)
    for run in runs:
        for number, gid in enumerate(gids(run)):
            drawn = zip(*lines[gid].get_data(), strict=True)
            assert [*drawn] == [(row[0], row[1 + number]) for row in run.history]


@pytest.mark.parametrize("reports", [1, MOST_REPORTS, MOST_REPORTS + 1, 5 * MOST_REPORTS - 1])
def test_long_histories_are_thinned_out_to_the_last(reports: int) -> None:
    history = [[float(i), 0.1, 3.0, 2.0] for i in range(1, reports + 1)]
    figure = trajectories(sweep([replace(whole_run("gaussian", 1, 0.1), history=history)]))
    steps = [int(step) for step in figure.axes[0].lines[0].get_xdata()]
    assert steps[-1] == reports and len(steps) <= MOST_REPORTS
    assert len(set(map(int.__sub__, steps[1:], steps))) <= 1
    assert len(steps) >= min(reports, MOST_REPORTS // 2)


@pytest.mark.filterwarnings("error")
def test_a_run_that_diverges_ends_where_it_does() -> None:
    """What is not finite is a gap, and the rest is still in view."""
    history = [[10.0, 0.1, 3.0, 2.0], [20.0, 0.1, 2.5, 1.0], [30.0, 0.1, math.nan, math.inf]]
    figure = trajectories(sweep([replace(whole_run("gaussian", 1, 0.1), history=history)]))
    figure.canvas.draw()
    nll, rate = figure.axes[1], figure.axes[2]
    assert nll.get_ylim()[0] < 2.5 < 3.0 < nll.get_ylim()[1] < 4.0
    assert rate.get_ylim()[0] < 1.0 < 2.0 < rate.get_ylim()[1] < 3.0
