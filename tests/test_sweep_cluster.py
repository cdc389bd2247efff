"""Runs of a sweep as jobs of Slurm, whose commands are scripts here."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from conftest import alive
from fake_slurm import FakeSlurm

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.report.results import FINISHED, FIXED, RUNNING, WAITING
from onmt_lattice.experiments.sweep import cluster, scheduler
from onmt_lattice.experiments.sweep.cluster import ClusterWorkers, cluster_options, cluster_workers
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.locks import locked

TRAINED = "touch $F/model_step_3.safetensors"
EVALUATED = "touch $F/model_step_3.json $F/model_step_3.txt"


@dataclass(frozen=True, eq=False)
class ShellRun(Run):
    """A run whose training is a line of shell; in it, $F is the run's folder, $* the devices."""

    script: str = TRAINED

    def command(self, devices: tuple[str, ...] = ()) -> list[str] | None:
        if not self.trained:
            return ["sh", "-c", f"F='{self.folder}'; {self.script}", "sh", *devices]
        evaluated = (self.folder / "model_step_3.txt").exists()
        return None if evaluated else ["sh", "-c", f"F='{self.folder}'; {EVALUATED}"]


class Quiet:
    """Progress that nobody watches."""

    def report(self, message: str) -> None:
        pass

    def show(self, running: Sequence[Run]) -> None:
        pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(scheduler, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(cluster, "QUEUE_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "SETTLE_SECONDS", 0.3)
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)  # a job cannot import this module
    yield
    cloudpickle.unregister_pickle_by_value(here)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    slurm = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{slurm.programs}:{os.environ['PATH']}")
    return slurm


def run_in(tmp_path: Path, name: str, script: str = TRAINED) -> ShellRun:
    run = ShellRun(
        curve=name,
        schedule=FIXED,
        point={},
        seed=1,
        folder=tmp_path / name,
        options={"train_steps": 3},
        test=tmp_path / "test.en",
        script=script,
    )
    run.folder.mkdir(exist_ok=True)
    return run


def workers_of(
    manifest: Manifest, jobs: int = 2, gpus: int = 0, options: Any = ()
) -> ClusterWorkers:
    folder = manifest.path.parent
    return cluster_workers(folder, jobs, gpus, cluster_options(options), manifest)


def sweep(tmp_path: Path, runs: list[ShellRun], **settings: Any) -> Manifest:
    manifest = Manifest(tmp_path, runs, {})
    workers = workers_of(manifest, **settings)
    scheduler.bring_to_end(runs, workers, manifest, Quiet())
    return manifest


def wait_for(found: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def pid_of(run: Run) -> int:
    wait_for((run.folder / "pid").exists)
    wait_for((run.folder / "pid").read_text)
    return int((run.folder / "pid").read_text())


def interrupt_when(monkeypatch: pytest.MonkeyPatch, found: Callable[[], Any]) -> None:
    """Let the sweep be interrupted at the time that ``found``."""
    sleep = time.sleep

    def wait(seconds: float) -> None:
        if found():
            monkeypatch.setattr(scheduler.time, "sleep", sleep)
            raise KeyboardInterrupt
        sleep(seconds)

    monkeypatch.setattr(scheduler.time, "sleep", wait)


def test_jobs_bring_runs_to_their_end_only_so_many_at_a_time(
    tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise ImportError('the working folder was looked into')")
    monkeypatch.chdir(tmp_path)
    both = f"echo + >> $F/../log; sleep 0.4; echo - >> $F/../log; {TRAINED}"
    runs = [run_in(tmp_path, name, both) for name in "abc"]
    broken = run_in(tmp_path, "broken", "echo out of luck; exit 3")
    killed = run_in(tmp_path, "killed", "kill -9 $$")
    manifest = sweep(tmp_path, [broken, killed, *runs])
    assert all(run.finished and manifest[run].status == FINISHED for run in runs)
    under_way = [1 if word == "+" else -1 for word in (tmp_path / "log").read_text().split()]
    assert len(under_way) == 6
    assert max(sum(under_way[:i]) for i in range(7)) <= 2
    assert manifest.failed() == [broken, killed]
    assert re.search(r"exit status 3(.|\n)*out of luck", manifest[broken].error or "")
    assert "signal 9 ended a command of run killed" in (manifest[killed].error or "")


def test_a_run_that_a_process_of_this_machine_works_on_is_no_job(
    tmp_path: Path, slurm: FakeSlurm
) -> None:
    run = run_in(tmp_path, "a")
    lock = locked(run.folder)
    assert lock is not None
    workers = workers_of(Manifest(tmp_path, [run], {}))
    assert workers.start(run) is None and workers.locked == {run} and slurm.submitted() == []
    os.close(lock)
    assert workers.start(run) is not None


def test_slurm_gets_what_a_run_needs(tmp_path: Path, slurm: FakeSlurm) -> None:
    script = f'echo "threads $OMP_NUM_THREADS devices $*"; {TRAINED}'
    runs = [run_in(tmp_path, name, script) for name in "ab"]
    options = ["slurm_partition=gpu", "timeout_min=90", "cpus_per_task=4", "mem_gb=16"]
    manifest = sweep(tmp_path, runs, gpus=2, options=options)
    assert [manifest[run].status for run in runs] == [FINISHED, FINISHED]
    assert len(slurm.submitted()) == 2
    flags = slurm.flags("1001")
    for flag in ("partition=gpu", "time=90", "cpus-per-task=4", "mem=16GB", "gpus-per-node=2"):
        assert f"--{flag}" in flags
    assert "--requeue" in flags and "--job-name=a" in flags
    logs = [run.log.read_text() for run in runs]
    devices = "threads 3 devices -world_size 2 -gpu_ranks 0 1 -master_port"
    assert logs[0] == f"{devices} 11001\n" and logs[1] == f"{devices} 11002\n"
    for option in ("cpus_per_task=4", "slurm_cpus_per_task=4"):
        executor = workers_of(manifest, options=[option]).executor._executor
        assert executor.parameters["srun_args"] == ["--cpus-per-task=4"]


def test_jobs_in_the_queue_are_found_again_and_count(
    tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run_in(tmp_path, name) for name in "abc"]
    hold = slurm.folder / "hold"
    hold.touch()
    interrupt_when(monkeypatch, lambda: len(slurm.submitted()) == 2)
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, runs[1:])

    manifest = Manifest(tmp_path, runs, {})
    records = [manifest[run] for run in runs]
    assert [record.status for record in records] == [WAITING, RUNNING, RUNNING]
    assert [record.job for record in records] == [None, "1001", "1002"]
    workers = workers_of(manifest)
    assert workers.start(runs[0]) is None  # two are in the queue
    hold.unlink()
    scheduler.bring_to_end(runs, workers, manifest, Quiet())
    assert all(manifest[run].status == FINISHED for run in runs)
    assert [manifest[run].attempts for run in runs] == [1, 1, 1]
    assert len(slurm.submitted()) == 3


def test_a_preempted_job_ends_its_command_and_goes_on(
    tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"[ -e $F/pid ] && {{ {TRAINED}; exit; }}; echo $$ > $F/pid; sleep 60; true"
    run = run_in(tmp_path, "a", script)
    manifest = Manifest(tmp_path, [run], {})
    workers = workers_of(manifest)
    job = workers.start(run)
    pid = pid_of(run)
    slurm.preempt("1001")
    assert job is not None
    wait_for(lambda: job.poll() is not None)
    assert job.poll() == 0 and run.finished
    assert not alive(pid)
    assert slurm.submitted() == ["1001"]


def test_a_job_that_was_cancelled_has_failed(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = run_in(tmp_path, "a", "echo $$ > $F/pid; sleep 60; true")
    manifest = Manifest(tmp_path, [run], {})
    job = workers_of(manifest).start(run)
    pid = pid_of(run)
    assert job is not None and job.poll() is None
    os.system("scancel 1001")
    wait_for(lambda: job.poll() is not None)
    assert job.poll() == 1
    assert "job 1001: gone without a result (state: CANCELLED by 1)" in run.log.read_text()
    wait_for(lambda: not alive(pid), 5)


def test_a_controller_out_of_reach_ends_no_job(tmp_path: Path, slurm: FakeSlurm) -> None:
    (slurm.folder / "hold").touch()
    run = run_in(tmp_path, "a")
    job = workers_of(Manifest(tmp_path, [run], {})).start(run)
    squeue = slurm.programs / "squeue"
    kept = squeue.read_text()
    squeue.write_text("#!/bin/sh\nexit 1\n")
    assert job is not None
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert job.poll() is None
        time.sleep(0.05)
    squeue.write_text(kept)
    (slurm.folder / "hold").unlink()
    wait_for(lambda: job.poll() == 0)


def test_a_refused_job_stops_the_sweep(tmp_path: Path, slurm: FakeSlurm) -> None:
    (slurm.programs / "sbatch").write_text("#!/bin/sh\necho invalid partition >&2; exit 1\n")
    run = run_in(tmp_path, "a")
    with pytest.raises(UserError, match=r"run a: .*invalid partition.*-cluster_options"):
        sweep(tmp_path, [run])
    assert Manifest(tmp_path, [run], {})[run].status == WAITING


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("slurm_partitoin=gpu", "'partitoin'.*partition"),
        ("colour=blue", "'colour' need to be prefixed"),
        ("mem_gb=much", "mem_gb.*float"),
        ("mem_gb", "mem_gb: expected key=value"),
        ("nodes=2", "nodes: a run is one task"),
        ("slurm_ntasks_per_node=2", "slurm_ntasks_per_node: a run is one task"),
        ("slurm_time=1-00:00:00", "expected a number of minutes"),
    ],
)
def test_an_option_that_cannot_be_is_named(
    tmp_path: Path, slurm: FakeSlurm, option: str, said: str
) -> None:
    with pytest.raises(UserError, match=rf"(?s)-cluster_options.*{said}"):
        workers_of(Manifest(tmp_path, [], {}), options=[option])


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest(tmp_path, [], {})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"-cluster slurm: no sbatch, .* on this machine"):
        workers_of(manifest)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'onmt-lattice\[cluster\]'"):
        workers_of(manifest)
