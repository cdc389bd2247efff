"""Sweeps of tiny runs through the command line, their commands in forks of this process."""

from __future__ import annotations

import shlex
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Capture, Fork, Mistake, Script

from onmt_lattice.cli import main
from onmt_lattice.experiments.corpus import corpus_text
from onmt_lattice.experiments.report.results import FAILED, FINISHED, FIXED, WAITING, Results
from onmt_lattice.locks import only_user
from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint

SHARED = {
    **{"encoder_type": "bottleneck_brnn", "layers": 1, "rnn_size": 16, "word_vec_size": 16},
    **{"batch_size": 16, "learning_rate": 0.01, "report_every": 10, "valid_steps": 1000},
}
SWEEP: dict[str, Any] = {
    "config": "common.yaml",
    "seeds": [1],
    "fixed": {"rate_weight": [0.1], "train_steps": 40, "save_checkpoint_steps": 10},
    "annealed": {"train_steps": 40, "save_checkpoint_steps": 20, "rate_weight_midpoint": 40},
    "curves": {
        "gaussian": {"bottleneck": "gaussian"},
        "ste_vector": {"bottleneck": "ste_vector", "fixed": False},
        "A2": {"quantize": "gaussian", "lattice": "A2", "annealed": False},
        "A2, tuned": {
            **{"quantize": "gaussian", "lattice": "A2", "more_steps": 10, "annealed": False}
        },
    },
}
TUNED = "A2_tuned_0.1_seed1"
STEPS = {
    "gaussian_0.1_seed1": [40],
    "gaussian_annealed_seed1": [20, 40],
    "gaussian_refitted_0.1_seed1": [40],
    "gaussian_refitted_annealed_seed1": [20, 40],
    "gaussian_refitted_10_more_steps_0.1_seed1": [50],
    "ste_vector_annealed_seed1": [20, 40],
    "A2_0.1_seed1": [40],
    TUNED: [50],
}


def write_sweep(folder: Path, sweep: dict[str, Any], train: int) -> Path:
    """Write the YAML of a ``sweep``, and a text of ``train`` lines and a few more."""
    (folder / "text").mkdir()
    lines = corpus_text("valid").splitlines(keepends=True)
    parts = {"train": lines[:train], "valid": lines[400:420], "test": lines[420:460]}
    for name, part in parts.items():
        (folder / "text" / f"{name}.en").write_text("".join(part), encoding="utf-8")
    (folder / "common.yaml").write_text(yaml.safe_dump(SHARED), encoding="utf-8")
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    return folder


def words(place: Path, output: str, *more: str) -> list[str]:
    """Return the words of the sweep into a folder of ``place``."""
    given = ["-text", str(place / "text"), "-output", str(place / output), "-jobs", "2"]
    config = [] if "-config" in more else ["-config", str(place / "sweep.yaml")]
    return ["sweep", *config, *given, *more]


def written(place: Path, output: str, **changes: Any) -> list[str]:
    """Write another sweep to ``place``, of a Gaussian, and return the words that run it."""
    sweep = {**SWEEP, "curves": {"gaussian": {"bottleneck": "gaussian"}}, "annealed": {}, **changes}
    path = place / f"{output}.yaml"
    path.write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    return words(place, output, "-config", str(path))


def killed(place: Path, output: str, sign: str, how: signal.Signals = signal.SIGKILL) -> None:
    """Run a sweep until a file is there, and end it in the middle."""
    sweep = Fork(words(place, output), place / f"{output}.log")
    deadline = time.monotonic() + 300
    while not any((place / output).glob(sign)):
        assert sweep.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    sweep.send_signal(how)
    sweep.wait()


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/model_step_*")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, forked_sweeps: None) -> Path:
    """Return a folder with the sweep's YAML and a little text."""
    return write_sweep(tmp_path_factory.mktemp("sweep"), SWEEP, train=400)


@pytest.fixture(scope="module")
def swept(place: Path) -> Path:
    """Return the folder of a sweep that nothing interrupted."""
    assert main(words(place, "whole")) == 0
    return place / "whole"


def test_it_leaves_figure_table_report_and_results(swept: Path) -> None:
    results = Results.read(swept / "results.json")
    runs = {run.name: run for run in results.runs}
    assert {name: [point.step for point in run.points] for name, run in runs.items()} == STEPS
    assert {run.record.status for run in results.runs} == {FINISHED}
    for run in results.runs:
        text = swept / run.name / f"model_step_{STEPS[run.name][-1]}.txt"
        assert run.points[-1].decoded == text.read_text(encoding="utf-8").splitlines()[:6]
        assert run.dim == 16
        if run.quantizing is None:
            assert [row[0] for row in run.history] == [10, 20, 30, 40]
            assert f"{run.name}/config.yaml" in run.command
    weights = [row[1] for row in runs["gaussian_annealed_seed1"].history]
    assert weights == sorted(weights) and weights[-1] == pytest.approx(0.5, abs=1e-4)
    assert (swept / "figure3.png").read_bytes().startswith(b"\x89PNG")
    assert (swept / "figure3.pdf").read_bytes().startswith(b"%PDF")
    for name in ("table.txt", "report.html", "figure3.svg"):
        assert "gaussian" in (swept / name).read_text(encoding="utf-8")


def test_run_again_it_trains_nothing(place: Path, swept: Path, capsys: Capture) -> None:
    before, table = times(swept), (swept / "table.txt").read_bytes()
    assert len(before) > 4 and main(words(place, "whole")) == 0
    assert times(swept) == before
    assert (swept / "table.txt").read_bytes() == table
    assert main(words(place, "whole", "-commands")) == 0
    assert "onmt_lattice" not in capsys.readouterr().out.split("results.json")[-1]


@pytest.mark.parametrize(
    ("how", "sign"),
    [
        (signal.SIGKILL, "*/model_step_10.safetensors"),
        (signal.SIGTERM, "*/model_step_10.safetensors"),
        (signal.SIGKILL, "*refitted*/model_step_40.safetensors"),
    ],
)
def test_killed_in_the_middle_and_run_again_it_comes_to_the_same(
    place: Path, swept: Path, how: signal.Signals, sign: str
) -> None:
    """Killed, its trainings go on without it and are waited for; ended, they are resumed."""
    folder = place / f"{how.name}{len(sign)}"
    killed(place, folder.name, sign, how)
    assert not (folder / TUNED / "model_step_50.safetensors").exists()
    assert main(words(place, folder.name)) == 0
    whole, resumed = ((path / "table.txt").read_text("utf-8") for path in (swept, folder))
    assert resumed == whole
    before, after = (Results.read(path / "results.json").runs for path in (swept, folder))
    assert [run.history for run in after] == [run.history for run in before]


def test_a_failing_run_is_reported_and_kept(place: Path, capfd: Capture) -> None:
    curves = {
        "gaussian": {"bottleneck": "gaussian"},
        "hopeless": {"bottleneck": "gaussian", "label_smoothing": 0.1},
        "A2": {"quantize": "hopeless", "lattice": "A2"},
    }
    fixed = {"rate_weight": [0.1], "train_steps": 20}
    argv = written(place, "failing", curves=curves, fixed=fixed)
    assert main(argv) == 1
    out, err = capfd.readouterr()
    assert "1 of 4 runs failed: hopeless_0.1_seed1" in err and "-retry_failed" in err
    assert "run A2_0.1_seed1: waits for hopeless_0.1_seed1, which has failed" in err
    assert "hopeless_0.1_seed1" in out
    good, bad, *waiting = Results.read(place / "failing/results.json").runs
    assert {run.record.status for run in waiting} == {WAITING}
    assert good.record.status == FINISHED and len(good.points) == 1
    assert (bad.record.status, bad.record.attempts, bad.points) == (FAILED, 1, [])
    assert "-label_smoothing 0.1: must be 0.0 here" in str(bad.record.error)
    for name in ("figure3.svg", "report.html", "table.txt"):
        assert "hopeless_0.1_seed1" in (place / "failing" / name).read_text("utf-8")

    assert main(argv) == 1  # it is not tried again unless asked for
    assert main([*argv, "-retry_failed"]) == 1
    record = Results.read(place / "failing/results.json").runs[1].record
    assert (record.status, record.attempts) == (FAILED, 2)


def test_a_damaged_last_checkpoint_is_made_again(place: Path, swept: Path, capfd: Capture) -> None:
    argv = written(place, "damaged")
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


def test_the_commands_can_be_run_by_hand(place: Path, capsys: Capture) -> None:
    argv = written(place, "hand", fixed={}, annealed={"train_steps": 20})
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


def test_results_are_drawn_elsewhere(swept: Path, tmp_path: Path, script: Script) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        script("reproduce_figure3", "-results", swept / "results.json", "-output", tmp_path)
    for name in ("table.txt", "figure3.svg", "report.html", "results.json"):
        assert (tmp_path / name).read_bytes() == (swept / name).read_bytes()


def test_one_sweep_at_a_time_in_a_folder(place: Path, swept: Path, capsys: Capture) -> None:
    with only_user(swept):
        assert main(words(place, "whole")) == 2
    assert "another run is at work" in capsys.readouterr().err


def test_mistakes_leave_nothing(place: Path, tmp_path: Path, mistake: Mistake) -> None:
    output = ["-output", str(tmp_path / "o")]
    for argv, message in (
        (["sweep"], "expected either -config FILE or -results FILE"),
        (["sweep", "-config", "none.yaml"], "none.yaml: cannot be read"),
        (["sweep", "-results", "none.json"], "none.json: cannot be read"),
    ):
        assert message in mistake(*argv, *output)
    assert list(tmp_path.iterdir()) == []
    if not torch.cuda.is_available():
        said = mistake(*words(place, "gpus", "-gpus", "0"))
        assert "no CUDA device was found; -gpus none trains on the CPU" in said
        assert not [*(place / "gpus").rglob("*.yaml")]


def test_a_lattice_is_put_into_the_trained_model_and_trained_on(swept: Path) -> None:
    runs = {run.name: run for run in Results.read(swept / "results.json").runs}
    last = [run.points[-1].evaluation for run in runs.values() if run.schedule == FIXED]
    gaussian, fitted, longer, a2, tuned = last
    assert fitted.nll == gaussian.nll and fitted.rate.word < gaussian.rate.word
    assert a2.quantized is not None and a2.quantized.lattice == "A2"
    assert a2.bottleneck == tuned.bottleneck == "lattice" and longer.bottleneck == "gaussian"
    assert tuned.nll != a2.nll
    assert [row[0] for row in runs[TUNED].history] == [50]
    assert runs["A2_0.1_seed1"].history == []


def test_a_folder_of_sources_and_targets(tmp_path: Path, forked_sweeps: None) -> None:
    curves = {
        "gaussian": SWEEP["curves"]["gaussian"],
        "lattice Z": {"quantize": "gaussian", "lattice": "Z"},
    }
    fixed = {"rate_weight": [0.1], "train_steps": 10}
    sweep = {"config": "common.yaml", "seeds": [1], "fixed": fixed, "curves": curves}
    place = write_sweep(tmp_path, sweep, train=200)
    for source in sorted((place / "text").glob("*.en")):
        lines = source.read_text(encoding="utf-8").splitlines()
        backwards = "".join(f"{' '.join(reversed(line.split()))}\n" for line in lines)
        source.with_suffix(".tgt").write_text(backwards, encoding="utf-8")
        source.rename(source.with_suffix(".src"))
    assert main(words(place, "out")) == 0
    results = Results.read(place / "out/results.json")
    assert results.text == str(place / "text/test.tgt")
    assert results.inputs[0] == (place / "text/test.tgt").read_text("utf-8").split("\n")[0]
    for run in results.runs:
        (point,) = run.points
        assert run.record.status == FINISHED and point.decoded is not None
        assert point.evaluation.source is not None
        assert point.evaluation.source.text == str(place / "text/test.src")
    assert "but its target" in (place / "out/report.html").read_text("utf-8")
    changed = times(place / "out")
    assert main(words(place, "out")) == 0 and times(place / "out") == changed
