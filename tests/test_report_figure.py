"""The figures of rate against NLL: of a sweep, and of evaluations."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up_curves import CURVES, annealed, fixed, sweep, unfinished
from made_up_results import made_up_evaluation
from matplotlib.figure import Figure

from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Entropy, Evaluation, Mean
from onmt_lattice.experiments.report import plotting
from onmt_lattice.experiments.report.figure import draw, figure
from onmt_lattice.experiments.report.results import ANNEALED, Point, Results
from onmt_lattice.experiments.report.style import styles

GRID = [(2.0, 8.0), (2.5, 4.0), (3.5, 1.0)]
EARLY = [(11.0, 2.0), (4.0, 9.0)]


@pytest.fixture
def results() -> Results:
    """Two seeds of every curve, fixed and annealed; a run that failed, one that waits."""
    runs = [
        run
        for number, curve in enumerate(CURVES)
        for seed in (1, 2)
        for points in [[(n + number / 5 + seed / 20, r + seed / 10) for n, r in GRID]]
        for run in [*fixed(curve, seed, points), annealed(curve, seed, [*EARLY, *points])]
    ]
    runs += [unfinished("Z", "Z_0.9_seed1", "failed"), unfinished("Z", "later", "waiting")]
    return sweep(runs)


def points(drawn: Any) -> dict[str, Any]:
    """Return the artists of single points by gid."""
    found = [line for line in drawn.axes[0].get_lines() if line.get_gid()]
    assert len(found) == len({line.get_gid() for line in found})
    return {line.get_gid(): line for line in found}


def means(drawn: Any) -> list[Any]:
    return [container.lines[0] for container in drawn.axes[0].containers]


def legend(drawn: Any) -> list[str]:
    return [text.get_text() for text in drawn.legends[0].get_texts()]


def note(drawn: Any) -> str:
    return drawn.get_supxlabel().replace("\n", " ")


def test_every_checkpoint_is_an_artist_of_its_own_where_it_belongs(results: Results) -> None:
    found = points(figure(results))
    expected = {
        f"point-{run.name}-{point.step}": (point.evaluation.nll.word, point.evaluation.rate.word)
        for run in results.runs
        for point in run.points
    }
    assert {gid: tuple(line.get_xydata()[0]) for gid, line in found.items()} == expected


def test_schedules_are_told_apart_and_a_curve_has_one_colour_and_marker(results: Results) -> None:
    drawn = figure(results)
    style = styles(results.bottlenecks())["E8"]
    full, hollow = (
        points(drawn)[f"point-E8_{name}"] for name in ("1_seed1-400", "annealed_seed1-400")
    )
    assert (
        (full.get_color(), full.get_marker())
        == (style.colour, style.marker)
        == (hollow.get_color(), hollow.get_marker())
    )
    assert (full.get_markerfacecolor(), hollow.get_markerfacecolor()) == (style.colour, "white")
    solid, dashed = (line for line in means(drawn) if line.get_color() == style.colour)
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert legend(drawn)[-5:-3] == ["fixed λ", "annealed λ"]


def test_the_mean_over_seeds_and_their_range(results: Results) -> None:
    drawn = figure(results)
    mean, _, (across, up) = drawn.axes[0].containers[0].lines  # the Gaussian, fixed
    bars = zip(mean.get_xydata(), across.get_segments(), up.get_segments(), strict=True)
    for (nll, rate), (middle, horizontal, vertical) in zip(GRID, bars, strict=True):
        nll, rate = nll + 0.075, rate + 0.15
        assert middle == pytest.approx([nll, rate])
        assert horizontal.ravel() == pytest.approx([nll - 0.025, rate, nll + 0.025, rate])
        assert vertical.ravel() == pytest.approx([nll, rate - 0.05, nll, rate + 0.05])
    joined = [line.get_xydata().tolist() for line in drawn.axes[0].get_lines()]
    for run in (run for run in results.runs if run.schedule == ANNEALED):
        assert [[p.evaluation.nll.word, p.evaluation.rate.word] for p in run.points] in joined
    assert legend(drawn)[-3:] == ["one seed", "mean over seeds", "range of seeds"]


def test_of_one_seed_there_is_no_mean(results: Results) -> None:
    drawn = figure(replace(results, runs=[run for run in results.runs if run.seed == 1]))
    assert means(drawn) == []
    assert legend(drawn)[-1] == "annealed λ"
    assert len(points(drawn)) == len(CURVES) * 8


def test_thirty_curves_look_different_and_keep_their_look() -> None:
    names = [f"{n}" for n in range(30)]
    kinds = [CURVES["Z"], CURVES["ste_scalar M=2"], {"bottleneck": "another"}]
    many = replace(sweep([]), curves={name: kinds[int(name) % 3] for name in names})
    looks = styles(many.bottlenecks())
    assert len(set(looks.values())) == 30
    colours = [{looks[n].colour for n in names if int(n) % 3 == kind} for kind in range(3)]
    assert not (colours[0] & colours[1] or colours[0] & colours[2] or colours[1] & colours[2])


def test_early_points_of_annealed_runs_are_out_of_view_and_counted(results: Results) -> None:
    drawn = figure(results)
    right = drawn.axes[0].get_xlim()[1]
    last = max(run.points[-1].evaluation.nll.word for run in results.runs if run.points)
    assert last < right < 6.0
    total = len(points(drawn))
    outside = sum(
        point.evaluation.nll.word > right
        or point.evaluation.rate.word > drawn.axes[0].get_ylim()[1]
        for run in results.runs
        for point in run.points
    )
    assert outside >= 2 * len(CURVES)
    assert f"{outside} of {total} points lie outside this view." in note(drawn)


def test_failed_runs_are_named_and_others_counted(results: Results) -> None:
    said = note(figure(results))
    assert "1 of 42 runs failed: Z_0.9_seed1. 1 of 42 runs waiting." in said
    assert "later" not in said
    assert note(figure(sweep(fixed("Z", 1, GRID)))) == ""


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_diverged_run_is_outside_and_the_rest_is_drawn() -> None:
    runs = [*fixed("Z", 1, [(math.nan, math.nan), *GRID]), *fixed("Z", 2, [(2.0, 8.0), *GRID])]
    drawn = figure(sweep(runs))
    assert note(drawn) == "1 of 8 points lie outside this view."
    assert len(means(drawn)[0].get_xdata()) == 3
    assert all(map(math.isfinite, drawn.axes[0].get_xlim() + drawn.axes[0].get_ylim()))
    only = figure(sweep(fixed("Z", 1, [(math.nan, math.nan)])))
    assert note(only) == "1 of 1 points lie outside this view."


def test_the_entropy_line_where_it_is_known(results: Results) -> None:
    def with_entropy(point: Point) -> Point:
        known = Entropy(44.0, 4.5, Mean(1.0, 0.1), 10)
        return replace(point, evaluation=replace(point.evaluation, entropy=known))

    runs = [replace(run, points=[*map(with_entropy, run.points)]) for run in results.runs]
    axes = figure(replace(results, runs=runs)).axes[0]
    ends = [line.get_xydata().tolist() for line in axes.get_lines()]
    assert [[0.0, 4.5], [4.5, 0.0]] in ends
    assert axes.get_xlim()[0] == axes.get_ylim()[0] == 0
    plain = [line.get_xydata().tolist() for line in figure(results).axes[0].get_lines()]
    assert [[0.0, 4.5], [4.5, 0.0]] not in plain


def test_another_format_or_nothing_to_draw(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.png, \.svg, \.pdf"):
        draw(results, tmp_path / "figure.gif")
    with pytest.raises(UserError, match="no run of the sweep has an evaluated checkpoint"):
        draw(sweep([unfinished("Z", "a", "failed")]), tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())


def evaluation(label: str, run: str, step: int, nll: float, rate: float) -> Evaluation:
    model = f"{run}_step_{step}.safetensors"
    return made_up_evaluation(label, step, nll, rate, 10, 100, model=model, run=run)


@pytest.fixture
def curves() -> list[Evaluation]:
    labels = ["ste_scalar M=2", "lattice Z", "gaussian", "lattice E8", "ste_vector M=4"]
    return [
        evaluation(label, f"runs/{label}/{seed}", step, 1 + step / 10 + seed, 9.0 - step - seed)
        for label in labels
        for seed in (0, 1)
        for step in (3, 1, 2)
    ]


def drawn(evaluations: list[Evaluation], monkeypatch: pytest.MonkeyPatch, path: Path) -> Figure:
    """Plot ``evaluations`` and return the figure that was saved."""
    kept: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (kept.append(self), save(self, *a, **k))
    )
    plotting.plot(evaluations, path)
    return kept[0]


def test_a_run_is_joined_in_the_order_of_its_steps(
    curves: list[Evaluation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    axes = drawn(curves, monkeypatch, tmp_path / "p.png").axes[0]
    joined = [
        line.get_xydata().tolist() for line in axes.get_lines() if line.get_marker() == "None"
    ]
    runs = [
        sorted((e for e in curves if e.run == name), key=lambda e: e.step)
        for name in {e.run for e in curves}
    ]
    expected = [[[e.nll.word, e.rate.word] for e in run] for run in runs]
    assert sorted(joined) == sorted(expected)
    assert "NLL" in axes.get_xlabel() and "bits per word" in axes.get_xlabel()
    assert "rate" in axes.get_ylabel() and "bits per word" in axes.get_ylabel()


def test_a_curve_looks_as_in_the_figure_of_its_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whether drawn from the evaluations or from the results: colour, marker, dashes, filling."""
    results = sweep([*fixed("Z", 1, GRID), annealed("gaussian", 1, GRID)])
    points = [(run, p.evaluation) for run in results.runs for p in run.points]
    found = [dataclasses.replace(e, label=run.curve, run=run.name) for run, e in points]
    plotted = drawn(found, monkeypatch, tmp_path / "p.png")
    looks = [
        {
            (line.get_label(), line.get_color(), line.get_marker(), line.get_linestyle())
            for line in made.legends[0].legend_handles
            if line.get_label() in results.curves
        }
        for made in (plotted, figure(results))
    ]
    assert looks[0] == looks[1] and len(looks[0]) == 2


def test_the_command(
    curves: list[Evaluation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for number, e in enumerate(curves):
        paths.append(str(tmp_path / f"{number}.json"))
        e.write(paths[-1])
    assert main(["plot", *paths, "-o", str(tmp_path / "p.svg")]) == 0
    assert (tmp_path / "p.svg").exists()
    assert main(["plot", str(tmp_path / "none.json"), "-o", str(tmp_path / "q.png")]) == 2
    assert not (tmp_path / "q.png").exists()


def test_nothing_to_plot(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one evaluation"):
        plotting.plot([], tmp_path / "p.png")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_not_drawn(tmp_path: Path, number: float) -> None:
    for nll, rate in ((number, 1.0), (1.0, number)):
        broken = evaluation("lattice Z", "run", 5, nll, rate)
        with pytest.raises(UserError, match=r"run_step_5.safetensors on .*expected finite numbers"):
            plotting.plot([broken], tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())
