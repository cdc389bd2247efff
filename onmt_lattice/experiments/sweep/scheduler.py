"""Bringing the runs of a sweep to their end, some at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from onmt_lattice.experiments.report.results import FAILED, FINISHED, RUNNING, WAITING
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.progress import Progress
from onmt_lattice.experiments.sweep.run import Run

POLL_SECONDS = 0.5


class Job(Protocol):
    """A run under way."""

    @property
    def id(self) -> str | None:
        """The number by which a later sweep finds it; None if it ends with this one."""

    def poll(self) -> int | None:
        """Return its exit status, None while it goes on."""

    def stop(self) -> None:
        """End it, or let go of it where it goes on by itself."""


class Workers(Protocol):
    """Where runs are brought to their end.

    Attributes:
        held: the runs that could not be started, as another process works on them.
    """

    held: set[Run]

    def start(self, run: Run) -> Job | None:
        """Return the run under way, or None where it has to wait."""


def bring_to_end(
    runs: Sequence[Run], workers: Workers, manifest: Manifest, progress: Progress
) -> None:
    """Train and evaluate every run that is neither finished nor has failed before.

    A run that was stopped goes on from its last checkpoint. One that fails is recorded and the
    others go on, but for those that wait for it to be trained, which are left waiting. On any
    exception, an interruption included, those under way are stopped, but for jobs that go on by
    themselves.
    """
    waiting = []
    for run in runs:
        if run.finished:
            manifest.record(run, FINISHED)
        elif manifest[run].status != FAILED:
            waiting.append(run)
            if manifest[run].job is None:
                manifest.record(run, WAITING)
    running: dict[Run, Job] = {}
    said: set[Run] = set()
    try:
        while waiting or running:
            for run in _left_waiting(waiting, manifest):
                waiting.remove(run)
                assert run.waits_for is not None
                progress.say(f"run {run.name}: waits for {run.waits_for.name}, which has failed")
            for run in list(waiting):
                job = workers.start(run) if _may_start(run) else None
                if job is not None:
                    waiting.remove(run)
                    running[run] = job
                    manifest.record(run, RUNNING, job=job.id)
            for run in workers.held - said:
                said.add(run)
                progress.say(f"run {run.name}: waits for another process that works on it")
            time.sleep(POLL_SECONDS)
            for run, status in [(run, job.poll()) for run, job in running.items()]:
                if status is not None:
                    del running[run]
                    _record_end(run, status, manifest, progress)
            progress.show(list(running))
    finally:
        for run, job in running.items():
            job.stop()
            if job.id is None:
                manifest.record(run, WAITING)


def _may_start(run: Run) -> bool:
    return run.waits_for is None or run.waits_for.trained


def _left_waiting(waiting: Sequence[Run], manifest: Manifest) -> list[Run]:
    """Return the runs that wait for one which has failed before it was trained."""
    return [
        run
        for run in waiting
        if run.waits_for is not None
        and not run.waits_for.trained
        and manifest[run.waits_for].status == FAILED
    ]


def _record_end(run: Run, status: int, manifest: Manifest, progress: Progress) -> None:
    if status == 0 and run.finished:
        manifest.record(run, FINISHED)
        return
    why = f"exit status {status}" if status else f"ended before step {run.steps}"
    manifest.record(run, FAILED, f"{why}; the end of {run.log}:\n{run.log_end()}")
    progress.say(f"run {run.name} failed ({why}); see {run.log}; the others continue")
