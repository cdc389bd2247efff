"""Runs as processes of this machine, each in a slot of threads or GPUs of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.sweep.options import NONE
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.locks import locked

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
FIRST_PORT = 10_000


@dataclass(frozen=True)
class Slot:
    """Threads of the CPU, or GPUs, that one run at a time is trained on."""

    number: int  # from 0
    threads: int
    gpus: tuple[str, ...] = ()  # by their number or UUID

    def options(self) -> tuple[str, ...]:
        """Return the options of ``onmt_lattice train`` that choose the devices."""
        return device_options(len(self.gpus), FIRST_PORT + self.number)

    def environment(self) -> dict[str, str]:
        """Return the environment of the slot's processes."""
        devices = {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}
        return {**environment(self.threads), **devices}


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a process that has ``threads`` of the CPU."""
    return {**os.environ, **dict.fromkeys(THREADS, str(threads))}


def device_options(gpus: int, port: int) -> tuple[str, ...]:
    """Return the options of a training on the first ``gpus`` visible GPUs; none for the CPU."""
    if gpus == 0:
        return ()
    ranks = map(str, range(gpus))
    return ("-world_size", str(gpus), "-gpu_ranks", *ranks, "-master_port", str(port))


def divide(jobs: int, gpus: tuple[str, ...], gpus_a_run: int, threads: int = 1) -> list[Slot]:
    """Return the slots of ``jobs`` runs at a time, GPUs given out in turn."""
    turns = [
        tuple(gpus[(slot * gpus_a_run + i) % len(gpus)] for i in range(gpus_a_run))
        for slot in range(jobs)
    ]
    return [Slot(number, threads, turn) for number, turn in enumerate(turns)]


class Processes:
    """The slots of this machine, as a sweep's workers."""

    def __init__(self, slots: list[Slot]) -> None:
        self.jobs: dict[Slot, Process | None] = dict.fromkeys(slots)
        self.locked: set[Run] = set()

    def start(self, run: Run) -> Process | None:
        """Start ``run`` in a free slot; None without one, or while another process has the run."""
        for slot, job in self.jobs.items():
            if job is None or job.ended:
                lock = locked(run.folder)
                if lock is None:
                    self.locked.add(run)
                    return None
                self.jobs[slot] = Process(run, slot, lock)
                return self.jobs[slot]
        return None


class Process:
    """A run under way in a slot: its commands, one after the other.

    Each command inherits the lock on the run, and so keeps it even if the sweep is killed.
    """

    id = None  # it ends with the sweep, unlike a job

    def __init__(self, run: Run, slot: Slot, lock: int) -> None:
        self.run, self.slot, self.lock = run, slot, lock
        self.commands = run.commands(slot.options())
        self.process: subprocess.Popen[bytes] | None = None
        self._start_next()

    @property
    def ended(self) -> bool:
        """Whether none of its commands is under way."""
        return self.process is None

    def _start_next(self) -> None:
        command = next(self.commands, None)
        if command is None:
            self._end()
        else:
            self.process = launch(command, self.run.log, self.lock, self.slot.environment())

    def _end(self) -> None:
        self.process = None
        os.close(self.lock)

    def poll(self) -> int | None:
        """Return the status of the command that ended the run, None while it continues."""
        status = 0 if self.process is None else self.process.poll()
        if status == 0 and self.process is not None:
            self._start_next()
            return 0 if self.ended else None
        if status:
            self._end()
        return status

    def stop(self) -> None:
        """End the command under way; the run can resume from its last checkpoint."""
        if self.process is not None:
            end(self.process)
            self.process.wait()
            self._end()


def launch(
    command: list[str], log: Path, lock: int, env: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start ``command``, which appends to ``log`` and has ``lock`` as long as it lasts."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=env,
            pass_fds=(lock,),
            start_new_session=True,  # so that its children are ended with it
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children unless it has ended; may be called by a signal's handler."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGTERM)
            # Popen.wait would wait for the Popen.wait that the signal has interrupted.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        except (ProcessLookupError, ChildProcessError):
            pass  # it has ended by itself


def gpus(asked: list[str] | None, gpus_a_run: int) -> tuple[str, ...]:
    """Return the GPUs to train on, by their number or UUID; none for the CPU.

    Args:
        asked: their numbers, ``["none"]``, or None for all that are visible if the configuration
            has ``gpu_ranks``, else the CPU.
        gpus_a_run: how many the configuration wants for a run; 0 for the CPU.
    """
    if asked == [NONE] or (asked is None and gpus_a_run == 0):
        return ()
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    visible = names.split(",")[:count] if names else [str(n) for n in range(count)]
    if not visible:
        raise UserError(
            f"-gpus {' '.join(asked) if asked else '(gpu_ranks in the configuration)'}: no CUDA "
            f"device was found; -gpus {NONE} trains on the CPU"
        )
    for gpu in asked or ():
        if gpu not in visible:
            raise UserError(f"-gpus {gpu}: expected some of {', '.join(visible)}, or {NONE}")
    chosen = tuple(asked or visible)
    if gpus_a_run > len(chosen):
        raise UserError(
            f"world_size {gpus_a_run}: a run takes more GPUs than the {len(chosen)} there are; "
            f"lower it, or give more -gpus"
        )
    return chosen
