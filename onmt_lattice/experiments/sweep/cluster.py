"""Runs as jobs of Slurm, through ``submitit``; a job imports this too."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.experiments.environment import python
from onmt_lattice.experiments.report.results import RUNNING
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.processes import (
    FIRST_PORT,
    device_options,
    end,
    environment,
    launch,
)
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.locks import locked

if TYPE_CHECKING:
    import submitit

SLURM = "slurm"
PROGRAMS = ("sbatch", "srun", "squeue", "scontrol")
FOLDER = "cluster"
MINUTES = 24 * 60  # submitit's own are 5
TIMEOUTS = 20  # time limits after which a run resumes, each time from its last checkpoint
QUEUE_SECONDS = 15.0
SETTLE_SECONDS = 60.0  # until files that another machine wrote are visible here
MANY_TASKS = ("nodes", "tasks_per_node", "ntasks_per_node")
LISTS = ("setup", "teardown", "srun_args", "local_setup")
PORTS = 20_000  # the system may use those above
LINGER_SECONDS = 2.0
GPU_OPTIONS = ("gpus_per_node", "gpus_per_task", "num_gpus", "gres")


class Task:
    """The commands of a run, one after the other.

    The task has the lock on the run meanwhile. When submitit sees the job's end coming, it asks for
    a task that resumes, and puts that into the queue.
    """

    def __init__(self, run: Run, gpus: int) -> None:
        self.run, self.gpus = run, gpus
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Return the status of the command that ended the run."""
        import submitit

        signal.signal(signal.SIGINT, self._interrupt)
        port = FIRST_PORT + int(submitit.JobEnvironment().raw_job_id) % PORTS
        while (lock := locked(self.run.folder)) is None:  # the job before this one is about to end
            time.sleep(1)
        try:
            for command in self.run.commands(device_options(self.gpus, port)):
                if status := self._finish(command, lock):
                    return status
            return 0
        finally:
            os.close(lock)

    def _finish(self, command: list[str], lock: int) -> int:
        threads = int(os.environ.get("SLURM_CPUS_ON_NODE", 1))
        self.process = launch(command, self.run.log, lock, environment(threads))
        try:
            status = self.process.wait()
        finally:
            self.end()
        if status < 0:  # not a failure of the run; the signal may be about to end the job
            time.sleep(LINGER_SECONDS)
            sys.exit(f"signal {-status} ended a command of run {self.run.name}")
        return status

    def end(self) -> None:
        """End the command under way with all its processes; may be called by a signal's handler."""
        if self.process is not None:
            end(self.process)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """End the command, and return the task of the job when it is started again."""
        from submitit.helpers import DelayedSubmission

        self.end()
        return DelayedSubmission(Task(self.run, self.gpus))

    def _interrupt(self, number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal and submitit each send one
        self.end()
        sys.exit(f"signal {number} ended the job")


class SlurmJob:
    """A run in Slurm's queue or under way, which continues without the sweep."""

    def __init__(self, run: Run, job: submitit.Job[int], queue: Queue) -> None:
        self.run, self.job, self.queue = run, job, queue
        self.status: int | None = None
        self.gone_since: float | None = None

    @property
    def id(self) -> str:
        """Its number in Slurm."""
        return self.job.job_id

    def poll(self) -> int | None:
        """Return its exit status, None while it is in the queue or under way."""
        if self.status is None and self._gone():
            self.status = _status(self.run, self.job)
        return self.status

    def _gone(self) -> bool:
        """Whether it has left the queue, and its files are visible."""
        if self.id in self.queue:
            self.gone_since = None
            return False
        now = time.monotonic()
        self.gone_since = self.gone_since or now
        return self.run.finished or now - self.gone_since >= SETTLE_SECONDS

    def stop(self) -> None:
        """Leave it: it continues, and the next sweep finds it by its number."""


def _status(run: Run, job: submitit.Job[int]) -> int:
    """Return the status of an ended ``job``; add the report of Slurm to the run's log."""
    from submitit.core.utils import UncompletedJobError

    if run.finished:
        return 0
    if job.paths.result_pickle.exists():
        try:
            return job.result()
        except UncompletedJobError as error:
            why = str(error)
    else:
        info = job.get_info(mode="force")
        state = info.get("State") or info.get("jobState") or "unknown to Slurm"
        last = "\n".join((job.stderr() or "").splitlines()[-5:])
        why = f"gone without a result (state: {state}); the end of {job.paths.stderr}:\n{last}"
    with open(run.log, "a", encoding="utf-8") as log:
        log.write(f"\njob {job.job_id}: {why}\n")
    return 1


class Queue:
    """The jobs of this user that wait in Slurm or are under way, as of a few seconds ago.

    submitit would ask ``sacct``, which not every cluster has, and takes a suspended job for ended
    and waits for a preempted one that nobody will start again.
    """

    def __init__(self) -> None:
        self.jobs: set[str] | None = None
        self.next = 0.0

    def add(self, job: str) -> None:
        """Add a ``job`` that was submitted just now."""
        if self.jobs is not None:
            self.jobs.add(job)

    def __contains__(self, job: str) -> bool:
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + QUEUE_SECONDS
            words = ["squeue", "--noheader", "--all", "--format=%i", f"--user={os.getuid()}"]
            answer = subprocess.run(words, capture_output=True, text=True)
            if answer.returncode == 0:  # else Slurm cannot be reached just now
                self.jobs = set(answer.stdout.split())
        return self.jobs is None or job in self.jobs


class ClusterWorkers:
    """Jobs of Slurm, as a sweep's workers.

    Those that an earlier sweep has submitted are found by their number, and not submitted again.
    """

    def __init__(
        self, executor: submitit.AutoExecutor, jobs: int, gpus_a_run: int, manifest: Manifest
    ) -> None:
        self.executor, self.jobs, self.gpus_a_run = executor, jobs, gpus_a_run
        import submitit

        self.queue = Queue()
        self.submitted = {
            run: SlurmJob(run, submitit.SlurmJob(executor.folder, record.job), self.queue)
            for run in manifest.runs.values()
            if (record := manifest[run]).status == RUNNING and record.job and not run.finished
        }
        self.under_way = list(self.submitted.values())
        self.locked: set[Run] = set()

    def start(self, run: Run) -> SlurmJob | None:
        """Return the run's job of an earlier sweep, or submit one.

        None if the most jobs allowed are queued or under way, or if a process of an earlier sweep
        works on the run.
        """
        if run in self.submitted:
            return self.submitted.pop(run)
        self.under_way = [job for job in self.under_way if job.poll() is None]
        if len(self.under_way) >= self.jobs:
            return None
        if (lock := locked(run.folder)) is None:
            self.locked.add(run)
            return None
        os.close(lock)
        self.under_way.append(self._submit(run))
        return self.under_way[-1]

    def _submit(self, run: Run) -> SlurmJob:
        from submitit.core.utils import FailedSubmissionError, UncompletedJobError

        self.executor.update_parameters(name=run.name)
        try:
            job = self.executor.submit(Task(run, self.gpus_a_run))
        except (FailedSubmissionError, UncompletedJobError) as error:
            raise UserError(
                f"run {run.name}: the cluster did not take the job: {error}; see -cluster_options; "
                f"jobs submitted before continue, and the sweep finds them when it is run again"
            ) from error
        self.queue.add(job.job_id)
        return SlurmJob(run, job, self.queue)


def cluster_workers(
    folder: Path, jobs: int, gpus_a_run: int, options: Mapping[str, Any], manifest: Manifest
) -> ClusterWorkers:
    """Return the workers of a sweep whose runs are jobs of Slurm, at most ``jobs`` at a time.

    Scripts and logs of the jobs go to ``cluster`` in the sweep's ``folder``, which the jobs must
    see under the same path. ``options`` are parameters of submitit, such as ``slurm_partition``.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "-cluster: needs submitit; install it with pip install 'onmt-lattice[cluster]'"
        ) from error
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"-cluster {SLURM}: no {', '.join(missing)} on this machine; start the sweep on one "
            f"that jobs of Slurm can be submitted from"
        )
    executor = submitit.AutoExecutor(
        folder / FOLDER,
        cluster=SLURM,
        slurm_max_num_timeout=TIMEOUTS,
        slurm_python=shlex.join(python()),
    )
    names = {key.removeprefix("slurm_"): key for key in options}
    for name, key in names.items():
        if name in MANY_TASKS:
            raise UserError(f"-cluster_options {key}: a run is one task on one node; leave it out")
        if name == "time" and not isinstance(options[key], int):
            raise UserError(f"-cluster_options {key}={options[key]}: expected a number of minutes")
    parameters: dict[str, Any] = {
        "timeout_min": MINUTES,
        "slurm_additional_parameters": {"requeue": True},
    }
    if gpus_a_run and not names.keys() & set(GPU_OPTIONS):
        parameters["gpus_per_node"] = gpus_a_run
    if cpus := names.get("cpus_per_task"):  # from Slurm 22.05 on, srun does not take it from sbatch
        parameters["slurm_srun_args"] = [f"--cpus-per-task={options[cpus]}"]
    with error_prefix("-cluster_options", (NameError, AssertionError, TypeError, ValueError)):
        executor.update_parameters(**{**parameters, **options})
    return ClusterWorkers(executor, jobs, gpus_a_run, manifest)


def cluster_options(words: Sequence[str]) -> dict[str, Any]:
    """Return the options in ``words`` such as ``mem_gb=16``: numbers, true and false, and text."""
    options: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise UserError(f"-cluster_options {word}: expected key=value, as timeout_min=4320")
        value: Any = text
        if key.removeprefix("slurm_") in LISTS:
            value = [text]
        elif re.fullmatch(r"0|[1-9]\d*|\d+\.\d+|true|false", text):  # 007 may be an account
            value = json.loads(text)
        options[key] = value
    return options
