"""A sweep of one tiny Gaussian model, quantized and trained on, through the command line."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_sweep import words, write_sweep
from test_sweep import SHARED

from onmt_lattice.cli import main
from onmt_lattice.experiments.report.results import FINISHED, WAITING, Results
from onmt_lattice.experiments.sweep.run import PROGRAM

SWEEP: dict[str, Any] = {
    "config": "common.yaml",
    "seeds": [1],
    "fixed": {"rate_weight": [0.1], "train_steps": 20, "save_checkpoint_steps": 10},
    "curves": {
        "gaussian": {"bottleneck": "gaussian"},
        "A2": {"quantize": "gaussian", "lattice": "A2"},
        "A2, tuned": {"quantize": "gaussian", "lattice": "A2", "more_steps": 10},
    },
}
NAMES = [
    "gaussian_0.1_seed1",
    "gaussian_refitted_0.1_seed1",
    "gaussian_refitted_10_more_steps_0.1_seed1",
    "A2_0.1_seed1",
    "A2_tuned_0.1_seed1",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sweep's YAML and a little text."""
    return write_sweep(tmp_path_factory.mktemp("quantized"), SHARED, SWEEP, train=300)


@pytest.fixture(scope="module")
def swept(place: Path) -> Path:
    """Return the folder of a sweep that nothing interrupted."""
    assert main(words(place, "whole")) == 0
    return place / "whole"


def test_a_lattice_is_put_into_the_trained_model_and_trained_on(swept: Path) -> None:
    runs = {run.name: run for run in Results.read(swept / "results.json").runs}
    assert list(runs) == NAMES
    assert {run.record.status for run in runs.values()} == {FINISHED}
    gaussian, fitted, longer, a2, tuned = (run.points[-1].evaluation for run in runs.values())
    assert [e.step for e in (gaussian, fitted, longer, a2, tuned)] == [20, 20, 30, 20, 30]
    assert fitted.nll == gaussian.nll and fitted.rate.word < gaussian.rate.word
    assert a2.quantized is not None and a2.quantized.lattice == "A2"
    assert a2.bottleneck == tuned.bottleneck == "lattice" and longer.bottleneck == "gaussian"
    assert tuned.nll != a2.nll
    assert [row[0] for row in runs[NAMES[-1]].history] == [30]
    assert runs["A2_0.1_seed1"].history == []


def test_run_again_it_makes_nothing(place: Path, swept: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in swept.glob("*/model_step_*")}
    assert main(words(place, "whole")) == 0
    assert {path: path.stat().st_mtime_ns for path in swept.glob("*/model_step_*")} == before


def test_killed_in_the_middle_and_run_again_it_comes_to_the_same(place: Path, swept: Path) -> None:
    folder = place / "killed"
    sweep = subprocess.Popen([*PROGRAM, *words(place, "killed")], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not any(folder.glob("*refitted*/model_step_20.safetensors")):
        assert sweep.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    assert not (folder / NAMES[-1] / "model_step_30.safetensors").exists()
    assert main(words(place, "killed")) == 0
    for name in ("table.txt", "figure3.svg"):
        assert (folder / name).read_text("utf-8") == (swept / name).read_text("utf-8")


def test_what_waits_for_a_failed_run_is_left_waiting(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gaussian = {"bottleneck": "gaussian", "label_smoothing": 0.1}
    curves = {**SWEEP["curves"], "gaussian": gaussian}
    config = place / "failing.yaml"
    config.write_text(yaml.safe_dump({**SWEEP, "curves": curves}), encoding="utf-8")
    argv = words(place, "failing")
    argv[2] = str(config)
    assert main(argv) == 1
    said = capfd.readouterr().err
    assert "1 of 5 runs failed: gaussian_0.1_seed1" in said
    assert "run A2_0.1_seed1: waits for gaussian_0.1_seed1, which has failed" in said
    runs = {run.name: run for run in Results.read(place / "failing/results.json").runs}
    assert runs["A2_0.1_seed1"].record.status == WAITING
