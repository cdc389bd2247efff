"""A sweep of four tiny runs, through the command line."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from small_sweep import words, write_sweep

from onmt_lattice.cli import main
from onmt_lattice.experiments.report.results import FAILED, FINISHED, Results
from onmt_lattice.experiments.sweep.run import PROGRAM
from onmt_lattice.locks import only_user
from onmt_lattice.opennmt.checkpoint import load_checkpoint

ROOT = Path(__file__).parent.parent
SHARED = {
    "encoder_type": "bottleneck_brnn",
    "layers": 1,
    "rnn_size": 16,
    "word_vec_size": 16,
    "batch_size": 16,
    "learning_rate": 0.01,
    "report_every": 10,
    "valid_steps": 1000,
}
SWEEP: dict[str, Any] = {
    "config": "common.yaml",
    "seeds": [1],
    "fixed": {"rate_weight": [0.1, 0.5], "train_steps": 40, "save_checkpoint_steps": 10},
    "annealed": {"train_steps": 40, "save_checkpoint_steps": 20, "rate_weight_midpoint": 40},
    "curves": {
        "gaussian": {"bottleneck": "gaussian"},
        "ste_vector": {"bottleneck": "ste_vector", "fixed": False},
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sweep's YAML and a little text."""
    return write_sweep(tmp_path_factory.mktemp("sweep"), SHARED, SWEEP, train=400)


@pytest.fixture(scope="module")
def swept(place: Path) -> Path:
    """Return the folder of a sweep that nothing interrupted."""
    assert main(words(place, "whole")) == 0
    return place / "whole"


def test_it_leaves_figure_table_report_and_results(swept: Path) -> None:
    results = Results.read(swept / "results.json")
    points = {run.name: [point.step for point in run.points] for run in results.runs}
    assert points == {
        "gaussian_0.1_seed1": [40],
        "gaussian_0.5_seed1": [40],
        "gaussian_annealed_seed1": [20, 40],
        "ste_vector_annealed_seed1": [20, 40],
    }
    assert {run.record.status for run in results.runs} == {FINISHED}
    for run in results.runs:
        assert (
            run.points[-1].decoded
            == (
                (swept / run.name / "model_step_40.txt")
                .read_text(encoding="utf-8")
                .splitlines()[:6]
            )
        )
        assert [row[0] for row in run.history] == [10, 20, 30, 40]
        assert run.dim == 16 and f"{run.name}/config.yaml" in run.command
    weights = [row[1] for row in results.runs[2].history]
    assert weights == sorted(weights) and weights[-1] == pytest.approx(0.5, abs=1e-4)
    assert (swept / "figure3.png").read_bytes().startswith(b"\x89PNG")
    assert (swept / "figure3.pdf").read_bytes().startswith(b"%PDF")
    for name in ("table.txt", "report.html", "figure3.svg"):
        assert "gaussian" in (swept / name).read_text(encoding="utf-8")


def test_run_again_it_trains_nothing(
    place: Path, swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in swept.glob("*/model_step_*")}
    table = (swept / "table.txt").read_bytes()
    assert len(before) > 4 and main(words(place, "whole")) == 0
    assert {path: path.stat().st_mtime_ns for path in swept.glob("*/model_step_*")} == before
    assert (swept / "table.txt").read_bytes() == table
    assert main(words(place, "whole", "-commands")) == 0
    assert "onmt_lattice" not in capsys.readouterr().out.split("results.json")[-1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_killed_in_the_middle_and_run_again_it_comes_to_the_same(
    place: Path, swept: Path, how: signal.Signals
) -> None:
    """Killed, its trainings go on without it and are waited for; ended, they are resumed."""
    folder = place / how.name
    sweep = subprocess.Popen([*PROGRAM, *words(place, how.name)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not any(folder.glob("*/model_step_10.safetensors")):
        assert sweep.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    sweep.send_signal(how)
    sweep.wait()
    names = [run.name for run in Results.read(swept / "results.json").runs]
    assert not all((folder / name / "model_step_40.safetensors").exists() for name in names)
    assert main(words(place, how.name)) == 0
    whole, resumed = ((path / "table.txt").read_text("utf-8") for path in (swept, folder))
    assert resumed == whole
    before, after = (Results.read(path / "results.json").runs for path in (swept, folder))
    assert [run.history for run in after] == [run.history for run in before]


def test_a_failing_run_is_reported_and_kept(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    curves = {
        "gaussian": {"bottleneck": "gaussian"},
        "hopeless": {"bottleneck": "ste_scalar", "label_smoothing": 0.1},
    }
    sweep = {**SWEEP, "fixed": {"rate_weight": [0.1], "train_steps": 20}, "curves": curves}
    sweep["annealed"] = {}
    (place / "failing.yaml").write_text(yaml.safe_dump(sweep), encoding="utf-8")
    argv = words(place, "failing", "-config", str(place / "failing.yaml"))
    assert main(argv) == 1
    out, err = capfd.readouterr()
    assert "1 of 2 runs failed: hopeless_0.1_seed1" in err and "-retry_failed" in err
    assert "hopeless_0.1_seed1" in out
    good, bad = Results.read(place / "failing/results.json").runs
    assert good.record.status == FINISHED and len(good.points) == 1
    assert (bad.record.status, bad.record.attempts, bad.points) == (FAILED, 1, [])
    assert "-label_smoothing 0.1: must be 0.0 here" in str(bad.record.error)
    for name in ("figure3.svg", "report.html", "table.txt"):
        assert "hopeless_0.1_seed1" in (place / "failing" / name).read_text("utf-8")

    assert main(argv) == 1  # it is not tried again unless asked for
    assert main([*argv, "-retry_failed"]) == 1
    record = Results.read(place / "failing/results.json").runs[1].record
    assert (record.status, record.attempts) == (FAILED, 2)


def test_a_damaged_last_checkpoint_is_made_again(
    place: Path, swept: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    curves = {"gaussian": {"bottleneck": "gaussian"}}
    sweep = {**SWEEP, "fixed": {**SWEEP["fixed"], "rate_weight": [0.1]}, "curves": curves}
    sweep["annealed"] = {}
    (place / "damaged.yaml").write_text(yaml.safe_dump(sweep), encoding="utf-8")
    argv = words(place, "damaged", "-config", str(place / "damaged.yaml"))
    run = place / "damaged" / "gaussian_0.1_seed1"
    shutil.copytree(swept / run.name, run)
    shutil.copy(swept / "vocab.txt", place / "damaged" / "vocab.txt")
    last = run / "model_step_40.safetensors"
    whole, result = last.read_bytes(), (run / "model_step_40.json").read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    (run / "model_step_40.json").unlink()

    assert main(argv) == 1  # its evaluation fails, and is told
    assert f"{last}: damaged: its contents" in (run / "train.log").read_text(encoding="utf-8")
    capfd.readouterr()
    assert main([*argv, "-retry_failed"]) == 0
    assert f"run {run.name}: checkpoint {last}: damaged: its contents" in capfd.readouterr().err
    assert load_checkpoint(last)["onmt_lattice"]["step"] == 40
    again = (run / "model_step_40.json").read_bytes()
    assert again.replace(b"/damaged/", b"/whole/") == result.replace(b"/damaged/", b"/whole/")


def test_the_commands_can_be_run_by_hand(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curves = {"gaussian": {"bottleneck": "gaussian"}}
    sweep = {**SWEEP, "fixed": {}, "annealed": {"train_steps": 20}, "curves": curves}
    (place / "hand.yaml").write_text(yaml.safe_dump(sweep), encoding="utf-8")
    argv = words(place, "hand", "-config", str(place / "hand.yaml"))
    assert main([*argv, "-commands"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["onmt_lattice", name] for name in ("build_vocab", "train", "evaluate")
    ]
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0
    assert main([*argv, "-draw_only"]) == 0
    (run,) = Results.read(place / "hand/results.json").runs
    assert [point.step for point in run.points] == [20]


def test_results_are_drawn_elsewhere(swept: Path, tmp_path: Path) -> None:
    script = ROOT / "scripts/reproduce_figure3"
    argv = ["-results", str(swept / "results.json"), "-output", str(tmp_path)]
    subprocess.run([sys.executable, str(script), *argv], check=True, stdout=subprocess.DEVNULL)
    for name in ("table.txt", "figure3.svg", "report.html", "results.json"):
        assert (tmp_path / name).read_bytes() == (swept / name).read_bytes()


def test_one_sweep_at_a_time_in_a_folder(
    place: Path, swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with only_user(swept):
        assert main(words(place, "whole")) == 2
    assert "another run is at work" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "expected -output DIR, and either -config FILE or -results FILE"),
        (["-config", "a.yaml"], "expected -output DIR"),
        (["-config", "none.yaml", "-output", "o"], "none.yaml: cannot be read"),
        (["-results", "none.json", "-output", "o"], "none.json: cannot be read"),
        (["-config", "a", "-output", "o", "-jobs", "0"], "-jobs 0: expected at least 1"),
        (
            ["-config", "a", "-output", "o", "-threads", "9999"],
            "-threads 9999: expected at least 1 and at most 1024",
        ),
    ],
)
def test_mistakes(
    argv: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *argv]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_gpus_that_are_not_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there are GPUs here")
    assert main(words(place, "gpus", "-gpus", "0")) == 2
    assert "no CUDA device was found; -gpus none trains on the CPU" in capsys.readouterr().err
