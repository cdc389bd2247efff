"""The demo, on a few steps of two models, one of them quantized."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from conftest import Capture, Mistake

from onmt_lattice.cli import main
from onmt_lattice.experiments.corpus import SPLITS
from onmt_lattice.experiments.corpus.english import Split
from onmt_lattice.experiments.demo.demo import CONFIG
from onmt_lattice.experiments.report.results import Results


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked_sweeps: None) -> list[str]:
    """Return the words of a demo of two models of 40 steps, and a lattice, on fifty sentences."""
    monkeypatch.chdir(tmp_path)
    for split, sentences in SPLITS.items():
        monkeypatch.setitem(SPLITS, split, Split({"train": 2000}.get(split, 50), sentences.seed))
    monkeypatch.setattr("onmt_lattice.bottlenecks.gaussian_to_lattice.FIT_STEPS", 5)
    sweep = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    names = ("gaussian", "lattice E8", "ste_vector M=4")
    sweep |= {
        "config": str(CONFIG.with_name("common.yaml")),
        "fixed": {"rate_weight": [0.5], "train_steps": 40},
        "curves": {name: sweep["curves"][name] for name in names},
    }
    config = tmp_path / "sweep.yaml"
    config.write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    return ["demo", "-config", str(config), "-output", "runs", "-jobs", "2"]


def test_it_leaves_figure_table_and_report(
    words: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert main(words) == 0
    shown = capsys.readouterr().out
    runs = Results.read(tmp_path / "runs/results.json").runs
    expected = ["gaussian", "gaussian, refitted", "lattice E8", "ste_vector M=4"]
    assert [run.curve for run in runs] == expected
    for run in runs:
        e = run.points[-1].evaluation
        row = f"{e.nll.word:>8.3f}{e.rate.word:>8.3f}{e.total.word:>8.3f}"
        assert f"{run.curve:<20}" in shown and row in shown
        assert e.sentences == 50 and e.entropy is not None and e.entropy.holds
        assert run.points[-1].decoded is not None
        assert (e.coded is not None) == (e.bottleneck != "gaussian")
    e8 = runs[2].points[-1]
    assert e8.over is not None and e8.evaluation.quantized is not None
    measured, theory = e8.over.rate / 96, e8.evaluation.quantized.theory_bits / 96
    (line,) = re.findall(r"^lattice E8  .* ±.*$", shown, flags=re.M)
    assert f"{measured:.3f} ±" in line and line.endswith(f"{theory:.3f}")
    assert "H = 4.543 bits per word" in shown and "\ninput " in shown
    for name in ("figure3.png", "report.html"):
        assert (tmp_path / "runs" / name).exists()


def test_mistakes_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Mistake
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "-jobs 0: expected at least 1" in mistake("demo", "-jobs", 0)
    assert "-config none.yaml: no such file" in mistake("demo", "-config", "none.yaml")
    assert list(tmp_path.iterdir()) == []
