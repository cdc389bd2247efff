"""The figure of rate against NLL."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from made_up_evaluation import made_up_evaluation
from matplotlib.figure import Figure

from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation import Entropy, Evaluation, Mean
from onmt_lattice.report import plotting


def evaluation(label: str, run: str, step: int, nll: float, rate: float) -> Evaluation:
    model = f"{run}_step_{step}.pt"
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


def test_each_bottleneck_has_a_colour_and_marker_of_its_own(
    curves: list[Evaluation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = drawn(curves, monkeypatch, tmp_path / "p.png").axes[0].get_lines()
    styles = {(line.get_color(), line.get_marker()) for line in lines}
    assert len(lines) == 10  # five bottlenecks, two runs each
    assert len(styles) == 5
    assert len({colour for colour, _ in styles}) == len({m for _, m in styles}) == 5


def test_a_run_is_joined_in_the_order_of_its_steps(
    curves: list[Evaluation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    axes = drawn(curves, monkeypatch, tmp_path / "p.png").axes[0]
    for line in axes.get_lines():
        nll, rate = line.get_data()
        assert list(nll) == sorted(nll)
        assert list(rate) == sorted(rate, reverse=True)
    assert "NLL" in axes.get_xlabel() and "bits a word" in axes.get_xlabel()
    assert "rate" in axes.get_ylabel() and "bits a word" in axes.get_ylabel()
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend[0] == "gaussian" and len(legend) == 5


def test_the_entropy_line_is_drawn_where_it_is_known(
    curves: list[Evaluation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = Entropy(44.0, 4.5, Mean(1.0, 0.1), 10)
    curves = [dataclasses.replace(e, entropy=known) for e in curves]
    lines = drawn(curves, monkeypatch, tmp_path / "p.png").axes[0].get_lines()
    assert [list(map(float, line.get_xdata())) for line in lines[10:]] == [[0.0, 4.5]]
    x, y = lines[10].get_data()
    assert all(a + b == 4.5 for a, b in zip(x, y, strict=True))


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
