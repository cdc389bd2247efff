"""The figure of rate against NLL."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from made_up_curves import annealed, fixed, sweep
from made_up_evaluation import made_up_evaluation
from matplotlib.figure import Figure

from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Entropy, Evaluation, Mean
from onmt_lattice.experiments.report import plotting
from onmt_lattice.experiments.report.figure import figure

GRID = [(2.0, 8.0), (2.5, 4.0), (3.5, 1.0)]


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


def test_a_label_has_one_look_that_no_other_has(
    curves: list[Evaluation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The legend names them, the Gaussian first; every point drawn has one of these looks."""
    figure = drawn(curves, monkeypatch, tmp_path / "p.png")
    entries = figure.legends[0].legend_handles
    looks = {(line.get_color(), line.get_marker()) for line in entries}
    assert len(looks) == len({colour for colour, _ in looks}) == len({m for _, m in looks}) == 5
    assert entries[0].get_label() == "gaussian"
    lines = figure.axes[0].get_lines()
    points = {
        (line.get_color(), line.get_marker()) for line in lines if line.get_marker() != "None"
    }
    assert points == looks


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


def test_the_entropy_line_is_drawn_where_it_is_known(
    curves: list[Evaluation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = Entropy(44.0, 4.5, Mean(1.0, 0.1), 10)
    evaluations = [dataclasses.replace(e, entropy=known) for e in curves]
    axes = drawn(evaluations, monkeypatch, tmp_path / "p.png").axes[0]
    assert [[0.0, 4.5], [4.5, 0.0]] in [line.get_xydata().tolist() for line in axes.get_lines()]
    assert axes.get_xlim()[0] == axes.get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_formats(curves: list[Evaluation], tmp_path: Path, suffix: str, magic: bytes) -> None:
    path = tmp_path / f"figure{suffix}"
    plotting.plot(curves, path)
    assert path.read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_command(
    curves: list[Evaluation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for number, e in enumerate(curves):
        paths.append(str(tmp_path / f"{number}.json"))
        e.write(paths[-1])
    assert main(["plot", *paths, "-o", str(tmp_path / "p.svg")]) == 0
    assert (tmp_path / "p.svg").exists()
    assert main(["plot", *paths, "-o", str(tmp_path / "p.gif")]) == 2
    assert ".png, .svg, .pdf" in capsys.readouterr().err
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
