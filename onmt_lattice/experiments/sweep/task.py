"""What a job of a cluster does; imported by it, so nothing heavy is imported here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

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

PORTS = 20_000  # the system may use those above
LINGER_SECONDS = 2.0


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
        if status < 0:  # is no failure of the run; the signal may be about to end the job
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
