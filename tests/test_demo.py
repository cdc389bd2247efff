"""The demo, on a few steps of two models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onmt_lattice.cli import main
from onmt_lattice.evaluation import Evaluation

ROOT = Path(__file__).parent.parent


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the words of a demo of two models, 40 steps each, on fifty sentences."""
    monkeypatch.chdir(ROOT)
    configs = tmp_path / "configs"
    configs.mkdir()
    for name in ("common", "gaussian", "ste_vector"):
        shutil.copy(ROOT / "configs/demo" / f"{name}.yaml", configs)
    test = tmp_path / "test.en"
    lines = (ROOT / "data/grammar/test.en").read_text(encoding="utf-8").splitlines(keepends=True)
    test.write_text("".join(lines[:50]), encoding="utf-8")
    return [
        *("demo", "-configs", str(configs), "-output", str(tmp_path / "runs")),
        *("-test", str(test), "-jobs", "2", "-train_steps", "40"),
    ]


def test_it_leaves_figure_table_and_evaluations_and_goes_on(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    runs = tmp_path / "runs"
    shown = capsys.readouterr().out
    assert (runs / "table.txt").read_text(encoding="utf-8") in shown + "\n"
    for name in ("gaussian", "ste_vector"):
        assert f"{name}  " in shown
        e = Evaluation.read(runs / "results" / f"{name}_step_40.json")
        assert e.sentences == 50 and e.entropy is not None and e.entropy.holds
        assert e.reconstruction is not None
    assert (runs / "rate_nll.png").read_bytes().startswith(b"\x89PNG")

    before = {p: p.stat().st_mtime_ns for p in runs.glob("*/model_step_*.pt")}
    (runs / "rate_nll.png").unlink()
    assert main(words) == 0
    assert {p: p.stat().st_mtime_ns for p in runs.glob("*/model_step_*.pt")} == before
    assert (runs / "rate_nll.png").exists()

    assert main([*words[:-1], "50"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_outside_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 2
    assert "top folder of the repository" in capsys.readouterr().err
    assert main(["demo", "-jobs", "0"]) == 2
    assert list(tmp_path.iterdir()) == []
