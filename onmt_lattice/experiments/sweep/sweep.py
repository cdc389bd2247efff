"""A sweep from its YAML file to figure, table and report."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from onmt_lattice.evaluation.result import NO_LATTICE, Evaluation, read_costs
from onmt_lattice.experiments.environment import cores, versions
from onmt_lattice.experiments.report.page import write
from onmt_lattice.experiments.report.pairing import difference
from onmt_lattice.experiments.report.results import (
    Difference,
    Point,
    Quantizing,
    Results,
    RunResult,
)
from onmt_lattice.experiments.sweep.cluster import ClusterWorkers, cluster_options, cluster_workers
from onmt_lattice.experiments.sweep.manifest import LIBRARIES, Manifest
from onmt_lattice.experiments.sweep.options import NONE, SweepOptions
from onmt_lattice.experiments.sweep.plan import Plan, read_plan
from onmt_lattice.experiments.sweep.processes import (
    FIRST_PORT,
    Processes,
    device_options,
    divide,
    gpus,
)
from onmt_lattice.experiments.sweep.quantized import QuantizedRun, put_aside
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.experiments.sweep.scheduler import Progress, bring_to_end
from onmt_lattice.locks import only_user
from onmt_lattice.opennmt.commands.vocabulary import build_vocab
from onmt_lattice.opennmt.training.history import read_history
from onmt_lattice.text import lines_of, read_lines

SHOWN_SENTENCES = 6
CURVES = ("step", "rate_weight", "nll", "rate")  # of the history, in the order of the results


def sweep(options: SweepOptions) -> Results:
    """Train and evaluate all runs, or resume an earlier sweep; write and return the results."""
    plan = plan_of(options)
    with only_user(plan.folder):
        manifest = manifest_of(plan)
        slots = workers(plan, options, manifest)  # before files are written
        begin(plan, manifest)
        if options.retry_failed:
            manifest.forget_failures()
            for message in put_aside(plan.runs):
                print(message, file=sys.stderr)
        with Progress(plan.runs, manifest) as progress:
            bring_to_end(plan.runs, slots, manifest, progress)
        results = collect(plan, manifest)
        write(results, plan.folder, options.per)
    return results


def draw_now(options: SweepOptions) -> Results:
    """Write the results so far, whether a sweep is at work there or not."""
    plan = plan_of(options)
    for run in plan.runs:
        run.check()
    results = collect(plan, manifest_of(plan))
    write(results, plan.folder, options.per)
    return results


def begin(plan: Plan, manifest: Manifest) -> None:
    """Claim the folders of all runs and count the vocabulary.

    Failures of runs whose folders were removed are forgotten.
    """
    new = [run for run in plan.runs if run.claim()]
    manifest.take_over()
    manifest.forget_failures(new)
    if not plan.vocabulary.exists():
        build_vocab(["-config", str(plan.runs[0].config)])
        logging.getLogger().setLevel(logging.WARNING)  # the progress shows the rest


def manifest_of(plan: Plan) -> Manifest:
    """Return the manifest of ``plan``, as it is on the disk."""
    settings = {"config": str(plan.path), "test": str(plan.test)}
    return Manifest(plan.folder, plan.runs, settings)


def plan_of(options: SweepOptions) -> Plan:
    """Return the plan of the sweep that is asked for."""
    assert options.config is not None
    return read_plan(options.config, options.output, options.text, options.seeds)


def gpus_a_run(plan: Plan, options: SweepOptions) -> int:
    """Return how many GPUs a run takes; 0 for the CPU."""
    if options.gpus == [NONE]:
        return 0
    return max(plan.gpus_a_run, 1 if options.gpus else 0)


def workers(plan: Plan, options: SweepOptions, manifest: Manifest) -> Processes | ClusterWorkers:
    """Return the processes of this machine, or the jobs of a cluster, that run the sweep."""
    each = gpus_a_run(plan, options)
    if options.cluster is not None:
        parameters = cluster_options(options.cluster_options or ())
        jobs = options.jobs or len(plan.runs)
        return cluster_workers(plan.folder, jobs, each, parameters, manifest)
    devices = gpus(options.gpus, plan.gpus_a_run)
    jobs = options.jobs or (len(devices) // each if devices else cores())
    return Processes(divide(jobs, devices, each, options.threads))


def commands(options: SweepOptions) -> Iterator[str]:
    """Yield the command lines by which the sweep could be run by hand; prepares their files."""
    plan = plan_of(options)
    for run in plan.runs:
        run.claim()
    if not plan.vocabulary.exists():
        yield shlex.join(["onmt_lattice", "build_vocab", "-config", str(plan.runs[0].config)])
    devices = device_options(gpus_a_run(plan, options), FIRST_PORT)
    for run in plan.runs:
        for command in run.commands_left(devices):
            yield shlex.join(command)


# ---- results ------------------------------------------------------------------------------------


def collect(plan: Plan, manifest: Manifest) -> Results:
    """Return the results of the runs of ``plan`` so far."""
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
    quantizing = None
    if isinstance(run, QuantizedRun):
        quantizing = Quantizing(run.source.name, run.lattice, run.more_steps)
    return RunResult(
        name=run.name,
        curve=run.curve,
        schedule=run.schedule,
        values=run.point,
        seed=run.seed,
        command=shlex.join(run.train_command()),
        record=manifest[run],
        points=points,
        quantizing=quantizing,
        history=[[e[key] for key in CURVES] for e in entries if e["event"] == "train"],
    )


def _over(run: Run, step: int, fair: dict[tuple[str, int], QuantizedRun]) -> Difference | None:
    """Return the cost of a lattice over its fair opponent, where both have been evaluated."""
    if not isinstance(run, QuantizedRun) or run.lattice == NO_LATTICE:
        return None
    opponent = fair[run.source.name, run.more_steps]
    own, theirs = (r.checkpoint(step).with_suffix(".tsv") for r in (run, opponent))
    if not (own.exists() and theirs.exists()):
        return None
    return difference(read_costs(own), read_costs(theirs))


def _decoded(path: Path) -> list[str] | None:
    return list(islice(lines_of(path, longest=None), SHOWN_SENTENCES)) if path.exists() else None
