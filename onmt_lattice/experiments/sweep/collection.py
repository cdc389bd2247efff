"""The results of a sweep, collected from its folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from onmt_lattice.evaluation.result import NO_LATTICE, Evaluation
from onmt_lattice.evaluation.sentence_scores import read_costs
from onmt_lattice.experiments.environment import versions
from onmt_lattice.experiments.report.pairing import difference
from onmt_lattice.experiments.report.results import (
    Difference,
    Point,
    Quantizing,
    Results,
    RunResult,
)
from onmt_lattice.experiments.sweep.manifest import LIBRARIES, Manifest
from onmt_lattice.experiments.sweep.plan import Plan
from onmt_lattice.experiments.sweep.quantized_run import QuantizedRun
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.opennmt.training.history import read_history
from onmt_lattice.text import read_lines

SHOWN_SENTENCES = 6
CURVES = ("step", "rate_weight", "nll", "rate")  # of the history, in the order of the results


def collect(plan: Plan, manifest: Manifest) -> Results:
    """Return what the runs of ``plan`` have come to so far."""
    fair = {
        (run.source.name, run.more_steps): run
        for run in plan.runs
        if isinstance(run, QuantizedRun) and run.lattice == NO_LATTICE
    }
    return Results(
        config=str(plan.path),
        text=str(plan.test),
        reference=plan.reference,
        curves=plan.curves,
        versions=versions(*LIBRARIES),
        inputs=read_lines(plan.test, "-text")[:SHOWN_SENTENCES],
        runs=[_run_result(run, manifest, fair) for run in plan.runs],
    )


def _run_result(
    run: Run, manifest: Manifest, fair: dict[tuple[str, int], QuantizedRun]
) -> RunResult:
    points = [
        Point(
            step,
            Evaluation.read(path.with_suffix(".json")),
            _decoded(path.with_suffix(".txt")),
            _over(run, step, fair),
        )
        for step, path in run.evaluated().items()
        if path.with_suffix(".json").exists()
    ]
    entries = read_history(run.history) if run.history.exists() else []
    return RunResult(
        name=run.name,
        curve=run.curve,
        schedule=run.schedule,
        values=run.point,
        seed=run.seed,
        command=shlex.join(run.train_command()),
        record=manifest[run],
        points=points,
        quantizing=_quantizing(run),
        history=[[e[key] for key in CURVES] for e in entries if e["event"] == "train"],
    )


def _over(run: Run, step: int, fair: dict[tuple[str, int], QuantizedRun]) -> Difference | None:
    """Return what a lattice costs over its fair opponent, where both have been evaluated."""
    if not isinstance(run, QuantizedRun) or run.lattice == NO_LATTICE:
        return None
    opponent = fair[run.source.name, run.more_steps]
    own, theirs = (r.checkpoint(step).with_suffix(".tsv") for r in (run, opponent))
    if not (own.exists() and theirs.exists()):
        return None
    return difference(read_costs(own), read_costs(theirs))


def _quantizing(run: Run) -> Quantizing | None:
    if not isinstance(run, QuantizedRun):
        return None
    return Quantizing(run.source.name, run.lattice, run.more_steps)


def _decoded(path: Path) -> list[str] | None:
    if not path.exists():
        return None
    return path.read_text(encoding="utf-8").splitlines()[:SHOWN_SENTENCES]
