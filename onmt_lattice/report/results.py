"""What a sweep has found: every point of every curve, with how it came about, as one JSON file.

Figure, table and report are drawn from this alone.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from onmt_lattice.environment import versions
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation import Evaluation, revive
from onmt_lattice.files import read_json, read_lines, write_json
from onmt_lattice.opennmt.options import bottleneck_dim
from onmt_lattice.sweep.manifest import LIBRARIES, Manifest, Record
from onmt_lattice.sweep.plan import Plan
from onmt_lattice.sweep.run import Run

FORMAT = 1
NAME = "results.json"
SHOWN_SENTENCES = 6
REPORT = re.compile(r"Step (\d+)/.* nll: +([\d.]+) rate: +([\d.]+) .*lambda: ([\d.]+)")


@dataclass(frozen=True)
class Point:
    """One evaluated checkpoint.

    Attributes:
        step: training steps done.
        evaluation: on the sweep's test text.
        decoded: the first sentences of the text as decoded, if they were.
    """

    step: int
    evaluation: Evaluation
    decoded: list[str] | None = None


@dataclass(frozen=True)
class RunResult:
    """One run and what came of it.

    Attributes:
        name: of the run.
        curve: the name of its curve; ``reading``: ``fixed`` or ``annealed``; ``values``: the
            options in which it differs from the other runs of its curve; ``seed``.
        command: the command line that trains it.
        record: its status, attempts, time and error.
        points: its evaluated checkpoints, by step.
        history: step, λ, NLL and rate (bits a token) as training reported them.
        dim: d, the dimension between the linear maps of its bottleneck.
    """

    name: str
    curve: str
    reading: str
    values: dict[str, Any]
    seed: int
    command: str
    record: Record
    points: list[Point]
    history: list[list[float]]
    dim: int | None = None

    @property
    def varied(self) -> str:
        """What its ``values`` are, in words."""
        return ", ".join(f"{option} {value}" for option, value in self.values.items())


@dataclass(frozen=True)
class Results:
    """All runs of a sweep.

    Attributes:
        config: the YAML file of the sweep; ``text``: what the points were evaluated on.
        reference: the curve that others are held against.
        curves: the options of each curve by name, in the order of the file.
        versions: of everything that bears on the numbers.
        inputs: the first sentences of the text.
        runs: all of them, failed and unfinished ones too.
    """

    config: str
    text: str
    reference: str
    curves: dict[str, dict[str, Any]]
    versions: dict[str, str]
    inputs: list[str]
    runs: list[RunResult]

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, {"format": FORMAT, **dataclasses.asdict(self)}, indent=1)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Return the results written at ``path``.

        Raises:
            UserError: if the file is missing or holds no results of this format.
        """
        values = read_json(path, "the results of a sweep")
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise UserError(f"{path}: no results of a sweep, or of another version")
        try:
            return cast(Results, revive(cls, values))
        except TypeError as error:
            raise UserError(f"{path}: no results of a sweep: {error}") from error


def collect(plan: Plan, manifest: Manifest) -> Results:
    """Return what the runs of ``plan`` have come to so far."""
    return Results(
        config=str(plan.path),
        text=str(plan.test),
        reference=plan.reference,
        curves=plan.curves,
        versions=versions(*LIBRARIES),
        inputs=read_lines(plan.test, "text")[:SHOWN_SENTENCES],
        runs=[_run_result(run, manifest) for run in plan.runs],
    )


def _run_result(run: Run, manifest: Manifest) -> RunResult:
    points = [
        Point(step, Evaluation.read(path.with_suffix(".json")), _decoded(path.with_suffix(".txt")))
        for step, path in run.evaluated().items()
        if path.with_suffix(".json").exists()
    ]
    log = run.log.read_text(encoding="utf-8", errors="replace") if run.log.exists() else ""
    reports = {int(found[0]): [*map(float, found)] for found in REPORT.findall(log)}
    return RunResult(
        name=run.name,
        curve=run.curve,
        reading=run.reading,
        values=run.point,
        seed=run.seed,
        command=shlex.join(run.train_command()),
        record=manifest[run],
        points=points,
        history=[[step, weight, nll, rate] for step, nll, rate, weight in reports.values()],
        dim=bottleneck_dim(run.config) if points else None,
    )


def _decoded(path: Path) -> list[str] | None:
    if not path.exists():
        return None
    return path.read_text(encoding="utf-8").splitlines()[:SHOWN_SENTENCES]
