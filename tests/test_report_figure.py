"""The figures of rate against NLL: of a sweep, and of evaluations."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up_results import CURVES, annealed, fixed, made_up_evaluation, sweep, unfinished
from matplotlib.figure import Figure

from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Entropy, Mean
from onmt_lattice.experiments.report import plotting
from onmt_lattice.experiments.report.figure import figure
from onmt_lattice.experiments.report.plotting import styles
from onmt_lattice.experiments.report.results import ANNEALED, Results

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


def lines(drawn: Any) -> list[Any]:
    return [line.get_xydata().tolist() for line in drawn.axes[0].get_lines()]


def note(drawn: Any) -> str:
    return drawn.get_supxlabel().replace("\n", " ")


def test_every_checkpoint_is_an_artist_of_its_own_where_it_belongs(results: Results) -> None:
    """Full at fixed λ, hollow of annealed runs, whose points are joined."""
    drawn = figure(results)
    found = points(drawn)
    for run in results.runs:
        bits = [[p.evaluation.nll.word, p.evaluation.rate.word] for p in run.points]
        artists = [found.pop(f"point-{run.name}-{p.step}") for p in run.points]
        assert [line.get_xydata()[0].tolist() for line in artists] == bits
        hollow = {line.get_markerfacecolor() == "white" for line in artists}
        assert hollow <= {run.schedule == ANNEALED}
        assert run.schedule != ANNEALED or bits in lines(drawn)
    assert not found


def test_the_mean_over_seeds_and_their_range(results: Results) -> None:
    drawn = figure(results)
    mean, _, (across, up) = drawn.axes[0].containers[0].lines  # the Gaussian, fixed
    bars = zip(mean.get_xydata(), across.get_segments(), up.get_segments(), strict=True)
    for (nll, rate), (middle, horizontal, vertical) in zip(GRID, bars, strict=True):
        nll, rate = nll + 0.075, rate + 0.15
        assert middle == pytest.approx([nll, rate])
        assert horizontal.ravel() == pytest.approx([nll - 0.025, rate, nll + 0.025, rate])
        assert vertical.ravel() == pytest.approx([nll, rate - 0.05, nll, rate + 0.05])
    one = figure(replace(results, runs=[run for run in results.runs if run.seed == 1]))
    assert means(one) == [] and len(points(one)) == len(CURVES) * 8


def test_thirty_curves_look_different_and_bottlenecks_have_no_colour_in_common() -> None:
    names = [f"{n}" for n in range(30)]
    kinds = [CURVES["Z"], CURVES["ste_scalar M=2"], {"bottleneck": "another"}]
    many = replace(sweep([]), curves={name: kinds[int(name) % 3] for name in names})
    looks = styles(many.bottlenecks())
    assert len(set(looks.values())) == 30
    colours = [{looks[n].colour for n in names if int(n) % 3 == kind} for kind in range(3)]
    assert not (colours[0] & colours[1] or colours[0] & colours[2] or colours[1] & colours[2])


def test_early_points_of_annealed_runs_are_out_of_view_and_counted(results: Results) -> None:
    drawn = figure(results)
    right, top = drawn.axes[0].get_xlim()[1], drawn.axes[0].get_ylim()[1]
    bits = [p.evaluation for run in results.runs for p in run.points]
    last = max(run.points[-1].evaluation.nll.word for run in results.runs if run.points)
    assert last < right < 6.0
    outside = sum(e.nll.word > right or e.rate.word > top for e in bits)
    assert outside >= 2 * len(CURVES)
    assert f"{outside} of {len(bits)} points lie outside this view." in note(drawn)


def test_failed_runs_are_named_and_others_counted(results: Results) -> None:
    said = note(figure(results))
    assert "1 of 34 runs failed: Z_0.9_seed1. 1 of 34 runs waiting." in said
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


def test_the_entropy_line_where_it_is_known() -> None:
    (run, *_) = fixed("Z", 1, GRID)
    bits = replace(run.points[0].evaluation, entropy=Entropy(44.0, 4.5, Mean(1.0, 0.1), 10))
    known = figure(sweep([replace(run, points=[replace(run.points[0], evaluation=bits)])]))
    assert [[0.0, 4.5], [4.5, 0.0]] in lines(known)
    assert known.axes[0].get_xlim()[0] == known.axes[0].get_ylim()[0] == 0
    assert [[0.0, 4.5], [4.5, 0.0]] not in lines(figure(sweep([run])))


def test_evaluations_of_a_run_are_joined_in_the_order_of_its_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda s, *a, **k: (kept.append(s), save(s, *a, **k)))
    words, expected = [], []
    for label in ("ste_scalar M=2", "lattice Z", "gaussian"):
        for seed in (0, 1):
            for step in (3, 1, 2):
                bits = 1 + step / 10 + seed, 9.0 - step - seed
                words.append(str(tmp_path / f"{label}{seed}{step}.json"))
                made_up_evaluation(label, step, *bits, run=f"{label}/{seed}").write(words[-1])
            expected.append([[1 + s / 10 + seed, 9.0 - s - seed] for s in (1, 2, 3)])
    assert main(["plot", *words, "-o", str(tmp_path / "p.svg")]) == 0
    assert (tmp_path / "p.svg").exists()
    axes = kept[0].axes[0]
    joined = [line for line in axes.get_lines() if line.get_marker() == "None"]
    assert sorted(line.get_xydata().tolist() for line in joined) == sorted(expected)
    for label, name in ((axes.get_xlabel(), "NLL"), (axes.get_ylabel(), "rate")):
        assert name in label and "bits per word" in label


def test_what_cannot_be_drawn_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.png, \.svg, \.pdf"):
        plotting.plot([made_up_evaluation("lattice Z", 5, 1.0, 1.0)], tmp_path / "figure.gif")
    with pytest.raises(UserError, match="at least one evaluation"):
        plotting.plot([], tmp_path / "p.png")
    for nll, rate in ((math.nan, 1.0), (1.0, math.inf)):
        broken = made_up_evaluation("lattice Z", 5, nll, rate)
        with pytest.raises(UserError, match=r"step_5.safetensors on .*expected finite numbers"):
            plotting.plot([broken], tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())
