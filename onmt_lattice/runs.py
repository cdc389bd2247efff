"""Training runs as local processes: resumable, side by side, with progress."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.files import whole_file

POLL_SECONDS = 0.5
LOG_TAIL = 15


@dataclass(frozen=True)
class Run:
    """One training run and the folder that holds all of it.

    Attributes:
        name: what progress and tables call it.
        folder: holds ``model_step_N.pt``, ``train.log`` and ``settings.json``.
        words: the words of ``onmt_lattice train`` that make this run.
        steps: how many training steps it takes.
    """

    name: str
    folder: Path
    words: tuple[str, ...]
    steps: int

    @property
    def log(self) -> Path:
        """Where the training's output goes."""
        return self.folder / "train.log"

    def checkpoints(self) -> dict[int, Path]:
        """Return the checkpoints on disk by their step, in order."""
        found = {}
        for path in self.folder.glob("model_step_*.pt"):
            match = re.fullmatch(r"model_step_(\d+)\.pt", path.name)
            if match:
                found[int(match[1])] = path
        return dict(sorted(found.items()))

    @property
    def finished(self) -> bool:
        """Whether the last checkpoint is there."""
        return self.steps in self.checkpoints()

    def command(self) -> list[str]:
        """Return the command line that starts the run or goes on from its last checkpoint."""
        words = [sys.executable, "-m", "onmt_lattice", "train", *self.words]
        words += ["-save_model", str(self.folder / "model"), "-train_steps", str(self.steps)]
        checkpoints = self.checkpoints()
        if checkpoints:
            words += ["-train_from", str(checkpoints[max(checkpoints)])]
        return words

    def step(self) -> int:
        """Return the last step that the log reports, or that a checkpoint was written at."""
        reported = re.findall(r"Step (\d+)/", _tail(self.log, 4096))
        return int(reported[-1]) if reported else max(self.checkpoints(), default=0)

    def claim(self, settings: dict[str, object]) -> None:
        """Make the folder, or check that what is in it was trained with the same ``settings``.

        Raises:
            UserError: if it holds a run of other settings.
        """
        record = self.folder / "settings.json"
        text = json.dumps({"steps": self.steps, **settings}, indent=2, sort_keys=True) + "\n"
        if record.exists() and record.read_text(encoding="utf-8") != text:
            raise UserError(
                f"{self.folder}: holds a run of other settings (see {record}); "
                f"remove the folder, or name another -output"
            )
        with whole_file(record) as part:
            part.write_text(text, encoding="utf-8")


def _tail(path: Path, size: int) -> str:
    if not path.exists():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - size))
        return file.read().decode("utf-8", errors="replace")


def train_all(runs: Sequence[Run], jobs: int) -> None:
    """Bring every run to its end, ``jobs`` at a time, with one progress bar for all.

    Threads are divided among the jobs. A finished run is left as it is; one that was stopped goes
    on from its last checkpoint.

    Raises:
        UserError: if a run fails, with the end of its log; the others are stopped.
    """
    waiting = [run for run in runs if not run.finished]
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    running: dict[Run, subprocess.Popen[bytes]] = {}
    with ExitStack() as stack:
        bar = stack.enter_context(progress_bar(sum(run.steps for run in runs)))
        stack.callback(_stop, running)
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = _start(run, environment)
            _show(bar, runs, running)
            time.sleep(POLL_SECONDS)
            for run in [run for run, process in running.items() if process.poll() is not None]:
                status = running.pop(run).returncode
                if status != 0 or not run.finished:
                    end = "\n".join(_tail(run.log, 8192).splitlines()[-LOG_TAIL:])
                    raise UserError(f"run {run.name} failed; the end of {run.log}:\n{end}")
        _show(bar, runs, running)


def progress_bar(steps: int) -> tqdm:
    """Return the bar of all runs, redrawn each second, or each half minute where none can see."""
    return tqdm(total=steps, unit="step", mininterval=1 if sys.stderr.isatty() else 30)


def _start(run: Run, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with open(run.log, "ab") as log:
        return subprocess.Popen(
            run.command(), stdout=log, stderr=subprocess.STDOUT, env=environment
        )


def _show(bar: tqdm, runs: Sequence[Run], running: dict[Run, subprocess.Popen[bytes]]) -> None:
    done = sum(run.steps if run.finished else run.step() for run in runs)
    bar.set_description("training " + ", ".join(run.name for run in running), refresh=False)
    bar.update(done - bar.n)


def _stop(running: dict[Run, subprocess.Popen[bytes]]) -> None:
    for process in running.values():
        process.terminate()
    for process in running.values():
        process.wait()
