"""A sweep from its YAML file to figure, table and report."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator

from onmt_lattice.experiments.environment import cores
from onmt_lattice.experiments.report.page import write
from onmt_lattice.experiments.report.results import Results
from onmt_lattice.experiments.sweep.cluster import cluster_options, cluster_workers
from onmt_lattice.experiments.sweep.collection import collect
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.options import NONE, SweepOptions
from onmt_lattice.experiments.sweep.plan import Plan, read_plan
from onmt_lattice.experiments.sweep.processes import (
    FIRST_PORT,
    Processes,
    device_options,
    divide,
    gpus,
)
from onmt_lattice.experiments.sweep.progress import Progress
from onmt_lattice.experiments.sweep.quantized_run import put_aside
from onmt_lattice.experiments.sweep.scheduler import Workers, bring_to_end
from onmt_lattice.locks import only_user
from onmt_lattice.opennmt.commands.vocabulary import build_vocab


def sweep(options: SweepOptions) -> Results:
    """Train and evaluate all runs, write what they come to, and return it.

    Goes on where an earlier sweep stopped.

    Raises:
        UserError: if the file of the sweep, the text or the devices cannot be used, or if the
            output holds other runs.
    """
    plan = plan_of(options)
    with only_user(plan.folder):
        manifest = begin(plan)
        if options.retry_failed:
            manifest.forget_failures()
            for said in put_aside(plan.runs):
                print(said, file=sys.stderr)
        with Progress(plan.runs, manifest) as progress:
            bring_to_end(plan.runs, workers(plan, options, manifest), manifest, progress)
        results = collect(plan, manifest)
        write(results, plan.folder, options.per)
    return results


def draw_now(options: SweepOptions) -> Results:
    """Write what the runs have come to so far, whether a sweep is at work there or not.

    Raises:
        UserError: as :func:`sweep`.
    """
    plan = plan_of(options)
    for run in plan.runs:
        run.check()
    results = collect(plan, Manifest(plan.folder, plan.runs, _settings(plan)))
    write(results, plan.folder, options.per)
    return results


def begin(plan: Plan) -> Manifest:
    """Claim the folders of all runs, count the vocabulary, and return the manifest.

    A failure that was recorded of a folder which is no longer there is forgotten.
    """
    new = [run for run in plan.runs if run.claim()]
    manifest = Manifest(plan.folder, plan.runs, _settings(plan))
    manifest.take_over()
    manifest.forget_failures(new)
    if not plan.vocabulary.exists():
        build_vocab(["-config", str(plan.runs[0].config)])
        logging.getLogger().setLevel(logging.WARNING)  # the progress says the rest
    return manifest


def _settings(plan: Plan) -> dict[str, str]:
    return {"config": str(plan.path), "test": str(plan.test)}


def plan_of(options: SweepOptions) -> Plan:
    """Return the plan of the sweep that is asked for."""
    assert options.config is not None
    return read_plan(options.config, options.output, options.text, options.seeds)


def workers(plan: Plan, options: SweepOptions, manifest: Manifest) -> Workers:
    """Return where the runs are brought to their end: this machine, or a cluster."""
    if options.cluster is not None:
        each = 0 if options.gpus == [NONE] else plan.gpus_a_run
        given = cluster_options(options.cluster_options or ())
        jobs = options.jobs or len(plan.runs)
        return cluster_workers(plan.folder, jobs, each, given, manifest)
    found = gpus(options.gpus, plan.gpus_a_run)
    each = max(plan.gpus_a_run, 1) if found else 0
    jobs = options.jobs or (len(found) // each if found else cores())
    return Processes(divide(jobs, found, each, options.threads))


def commands(options: SweepOptions) -> Iterator[str]:
    """Yield the command lines by which the sweep could be run by hand; prepares their files."""
    plan = plan_of(options)
    for run in plan.runs:
        run.claim()
    if not plan.vocabulary.exists():
        yield shlex.join(["onmt_lattice", "build_vocab", "-config", str(plan.runs[0].config)])
    each = 0 if options.gpus == [NONE] else plan.gpus_a_run
    for run in plan.runs:
        for command in run.commands_left(device_options(each, FIRST_PORT)):
            yield shlex.join(command)
