"""Bringing the runs of a sweep to their end, some at a time, and showing how far they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from onmt_lattice.experiments.report.results import FAILED, FINISHED, RUNNING, WAITING
from onmt_lattice.experiments.sweep.cluster import ClusterWorkers, SlurmJob
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.processes import Process, Processes
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.opennmt.model.statistics import duration

POLL_SECONDS = 0.5
LINE_SECONDS = 30.0  # between lines where there is no terminal


class Progress:
    """A table of the runs under way with the time left, redrawn in place."""

    def __init__(self, runs: Sequence[Run], manifest: Manifest) -> None:
        self.runs, self.manifest = runs, manifest
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False)
        self.since = time.monotonic()
        self.first = {run: self._step(run) for run in runs}
        self.shown = 0.0

    def __enter__(self) -> Progress:
        """Start drawing."""
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Stop drawing; the last table stays."""
        if self.console.is_terminal:
            self.live.stop()

    def report(self, message: str) -> None:
        """Print ``message`` above the table."""
        self.console.print(Text(message))

    def show(self, running: Sequence[Run]) -> None:
        """Show how far the runs are; ``running`` are those under way."""
        now = time.monotonic()
        if now - self.shown < (1.0 if self.console.is_terminal else LINE_SECONDS):
            return
        self.shown = now
        if self.console.is_terminal:
            self.live.update(Group(self._table(running), Text(self.line())), refresh=True)
        else:
            names = ", ".join(f"{run.name} {self._step(run)}/{run.steps}" for run in running)
            print(f"{self.line()}: {names}", file=sys.stderr, flush=True)

    def _table(self, running: Sequence[Run]) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading in ("run", "step", "of", "status", "minutes"):
            table.add_column(heading, justify="left" if heading in ("run", "status") else "right")
        for run in running:
            record = self.manifest[run]
            minutes = (record.seconds + time.time() - (record.since or time.time())) / 60
            status = "evaluating" if run.trained else "training"
            step = self._step(run)
            table.add_row(run.name, str(step), str(run.steps), status, f"{minutes:.1f}")
        return table

    def line(self) -> str:
        """Return the state of the whole sweep as one phrase."""
        statuses = [self.manifest[run].status for run in self.runs]
        parts = [f"{statuses.count(FINISHED)} of {len(self.runs)} runs finished"]
        parts += [
            f"{statuses.count(status)} {status}"
            for status in (RUNNING, FAILED)
            if status in statuses
        ]
        left = self.seconds_left()
        return ", ".join(parts) + ("" if left is None else f", about {duration(left)} left")

    def seconds_left(self) -> float | None:
        """Return the time left at the pace of this sweep so far, None before there is one."""
        runs = [run for run in self.runs if self.manifest[run].status != FAILED]
        done = sum(self._step(run) - self.first[run] for run in runs)
        left = sum(run.steps - self._step(run) for run in runs)
        return None if done <= 0 else left * (time.monotonic() - self.since) / done

    def _step(self, run: Run) -> int:
        return run.steps if run.trained else run.step()


def bring_to_end(
    runs: Sequence[Run], workers: Processes | ClusterWorkers, manifest: Manifest, progress: Progress
) -> None:
    """Train and evaluate every run that is neither finished nor has failed before.

    A run that was stopped resumes from its last checkpoint. A failure is recorded and the other
    runs continue, but for those that need the failed one's checkpoints. On any exception, an
    interruption included, those under way are stopped, but for jobs that continue by themselves.
    """
    waiting = []
    for run in runs:
        if run.finished:
            manifest.record(run, FINISHED)
        elif manifest[run].status != FAILED:
            waiting.append(run)
            if manifest[run].job is None:
                manifest.record(run, WAITING)
    running: dict[Run, Process | SlurmJob] = {}
    reported: set[Run] = set()
    try:
        while waiting or running:
            for run in list(waiting):
                source = run.waits_for
                ready = source is None or source.trained
                if source is not None and not ready and manifest[source].status == FAILED:
                    waiting.remove(run)
                    progress.report(f"run {run.name}: waits for {source.name}, which has failed")
                job = workers.start(run) if ready else None
                if job is not None:
                    waiting.remove(run)
                    running[run] = job
                    manifest.record(run, RUNNING, job=job.id)
            for run in workers.locked - reported:
                reported.add(run)
                progress.report(f"run {run.name}: waits for another process that works on it")
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


def _record_end(run: Run, status: int, manifest: Manifest, progress: Progress) -> None:
    if status == 0 and run.finished:
        manifest.record(run, FINISHED)
        return
    why = f"exit status {status}" if status else f"ended before step {run.steps}"
    manifest.record(run, FAILED, f"{why}; the end of {run.log}:\n{run.log_end()}")
    progress.report(f"run {run.name} failed ({why}); see {run.log}; the others continue")
