"""Runs brought to their end by processes of this machine: finished, stopped, failed, locked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onmt_lattice.experiments.report.results import FAILED, FINISHED, FIXED, WAITING
from onmt_lattice.experiments.sweep import scheduler
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.processes import Process, Processes, Slot, divide
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.experiments.sweep.scheduler import Progress, bring_to_end
from onmt_lattice.locks import locked
from onmt_lattice.opennmt.model.statistics import duration
from onmt_lattice.opennmt.training.history import History


class Scripted(Run):
    """A run whose commands are given: ``train`` first, then ``evaluate``."""

    train = "touch model_step_20.safetensors"
    evaluate = "touch model_step_20.json model_step_20.txt"

    def command(self, devices: tuple[str, ...] = ()) -> list[str] | None:
        """Return what brings the run forward, in the shell."""
        if self.finished:
            return None
        return ["sh", "-c", f"cd {self.folder}; {self.evaluate if self.trained else self.train}"]

    @property
    def finished(self) -> bool:
        """Whether both commands have done their work."""
        return self.trained and (self.folder / "model_step_20.json").exists()


class Idle(Scripted):
    train = "echo out of luck"


class Endless(Scripted):
    train = "sleep 600"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "POLL_SECONDS", 0.01)


def made(folder: Path, kind: type[Run], name: str) -> Run:
    run = kind("c", FIXED, {}, 1, folder / name, {"train_steps": 20}, Path("test.en"))
    run.claim()
    return run


def swept(folder: Path, runs: list[Run]) -> Manifest:
    manifest = Manifest(folder, runs, {})
    with Progress(runs, manifest) as progress:
        bring_to_end(runs, Processes(divide(2, (), 0)), manifest, progress)
    return manifest


def test_an_interruption_stops_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [made(tmp_path, Endless, name) for name in "abc"]
    processes: list[Process] = []
    start = Processes.start

    def kept(self: Processes, run: Run) -> Process | None:
        job = start(self, run)
        processes.extend([job] if job else [])
        return job

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Processes, "start", kept)
    monkeypatch.setattr(scheduler.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path, runs)
    assert len(processes) == 2 and all(process.ended for process in processes)
    manifest = Manifest(tmp_path, runs, {})
    assert [manifest[run].status for run in runs] == [WAITING] * 3
    assert all(locked(run.folder) is not None for run in runs)


def test_a_run_that_ends_too_soon_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    idle, good = runs = [made(tmp_path, kind, kind.__name__) for kind in (Idle, Scripted)]
    manifest = swept(tmp_path, runs)
    assert (manifest[idle].status, manifest[good].status) == (FAILED, FINISHED)
    assert "ended before step 20" in str(manifest[idle].error)
    assert "out of luck" in str(manifest[idle].error)


def test_a_run_has_one_thread_unless_told_and_gpus_are_given_out_in_turn() -> None:
    assert divide(3, (), 0) == [Slot(0, 1), Slot(1, 1), Slot(2, 1)]
    assert [slot.gpus for slot in divide(3, ("0", "1"), 1)] == [("0",), ("1",), ("0",)]
    assert [slot.gpus for slot in divide(2, ("4", "5", "6", "7"), 2)] == [("4", "5"), ("6", "7")]
    slot = divide(2, ("4", "5", "6", "7"), 2, threads=4)[1]
    environment = slot.environment()
    assert environment["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert environment["OMP_NUM_THREADS"] == "4"
    assert slot.options()[:5] == ("-world_size", "2", "-gpu_ranks", "0", "1")
    assert slot.options()[-1] != divide(2, ("4", "5", "6", "7"), 2)[0].options()[-1]  # the port
    assert Slot(0, 1).options() == ()
    assert "CUDA_VISIBLE_DEVICES" not in Slot(0, 1).environment() or os.environ.get(
        "CUDA_VISIBLE_DEVICES"
    )


def test_time_left_is_by_the_pace_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [made(tmp_path, Scripted, name) for name in "ab"]
    progress = Progress(runs, Manifest(tmp_path, runs, {}))
    assert progress.seconds_left() is None
    History(runs[0].history, 0).append({"event": "train", "step": 10})
    monkeypatch.setattr("time.monotonic", lambda: progress.since + 60)
    assert progress.seconds_left() == pytest.approx(180)  # 10 of 40 steps took 60 s
    assert progress.line().startswith("0 of 2 runs finished")
    assert progress.line().endswith("about 3 min left")
    assert [duration(s) for s in (29, 31, 4000)] == ["0 min", "1 min", "1 h 7 min"]
