"""The runs of a sweep and how far they are: one JSON file, rewritten at every change."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.environment import versions
from onmt_lattice.experiments.report.results import FAILED, RUNNING, WAITING, Record
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.files import write_json

FORMAT = 1
NAME = "manifest.json"
LIBRARIES = ("OpenNMT-py", "torch", "numpy", "sacrebleu", "matplotlib")


class Manifest:
    """The records of all runs, saved in ``<folder>/manifest.json``.

    Those of runs that only an earlier sweep had stay there too.
    """

    def __init__(self, folder: Path, runs: Sequence[Run], settings: dict[str, Any]) -> None:
        self.path = folder / NAME
        self.settings = settings
        self.runs = {run.name: run for run in runs}
        saved = self._read()
        self.others = [entry for name, (entry, _) in saved.items() if name not in self.runs]
        self.records = {name: saved[name][1] if name in saved else Record() for name in self.runs}

    def _read(self) -> dict[str, tuple[dict[str, Any], Record]]:
        """Return the file's entry of each run and the record in it, by the run's name."""
        if not self.path.exists():
            return {}
        try:
            runs = json.loads(self.path.read_text(encoding="utf-8"))["runs"]
            return {run["name"]: (run, Record(**run["record"])) for run in runs}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path}: damaged or of another version ({error}); remove it, and the sweep "
                f"resumes from the checkpoints"
            ) from error

    def __getitem__(self, run: Run) -> Record:
        """Return the record of ``run``."""
        return self.records[run.name]

    def record(
        self, run: Run, status: str, error: str | None = None, job: str | None = None
    ) -> None:
        """Set the status of ``run`` and write the file, unless nothing has changed."""
        old, now = self.records[run.name], time.time()
        started = status == RUNNING and (old.status, old.job) != (RUNNING, job)
        ended = old.since is not None and status != RUNNING
        new = Record(
            status=status,
            attempts=old.attempts + started,
            seconds=old.seconds + (now - old.since if ended and old.since is not None else 0.0),
            error=error,
            job=job,
            since=now if started else (None if ended else old.since),
        )
        if new != old:
            self.records[run.name] = new
            self.write()

    def failed(self) -> list[Run]:
        """Return the runs that have failed."""
        return [run for name, run in self.runs.items() if self.records[name].status == FAILED]

    def take_over(self) -> None:
        """Let runs wait that were under way when their sweep was killed.

        Only the sweep that has the output's lock may do this: another's may be under way now.
        """
        for name, record in self.records.items():
            if record.status == RUNNING and record.job is None:
                self.records[name] = dataclasses.replace(record, status=WAITING, since=None)

    def forget_failures(self, runs: Iterable[Run] | None = None) -> None:
        """Let those of ``runs`` that have failed, all by default, wait for another attempt."""
        for run in set(self.failed()).intersection(self.runs.values() if runs is None else runs):
            self.record(run, WAITING)

    def write(self) -> None:
        """Write the file, whole or not at all."""
        values = {
            "format": FORMAT,
            **self.settings,
            "versions": versions(*LIBRARIES),
            "runs": [*(self._entry(run) for run in self.runs.values()), *self.others],
        }
        write_json(self.path, values, indent=1)

    def _entry(self, run: Run) -> dict[str, Any]:
        fields = ("name", "curve", "schedule", "point", "seed", "steps")
        command, record = shlex.join(run.train_command()), dataclasses.asdict(self[run])
        return {f: getattr(run, f) for f in fields} | {"command": command, "record": record}
