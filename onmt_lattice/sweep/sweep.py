"""A sweep from its YAML file to figure, table and report."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.vocabulary import build_vocab
from onmt_lattice.sweep.manifest import Manifest
from onmt_lattice.sweep.plan import Plan, read_plan
from onmt_lattice.sweep.processes import LOCK, Processes, divide
from onmt_lattice.sweep.progress import Progress
from onmt_lattice.sweep.scheduler import bring_to_end


@dataclass(frozen=True)
class SweepOptions:
    """What a sweep was asked for; see ``onmt_lattice sweep --help``."""

    config: Path
    output: Path
    text: Path | None = None
    seeds: list[int] | None = None
    jobs: int = 1
    retry_failed: bool = False


def sweep(options: SweepOptions) -> None:
    """Run the sweep."""
    plan = read_plan(options.config, options.output, options.text, options.seeds)
    with only_sweep(options.output):
        for run in plan.runs:
            run.claim()
        make_vocabulary(plan)
        manifest = Manifest(plan.folder, plan.runs, {})
        workers = Processes(divide(options.jobs, (), 0))
        with Progress(plan.runs, manifest) as progress:
            bring_to_end(plan.runs, workers, manifest, progress)


@contextmanager
def only_sweep(folder: Path) -> Iterator[None]:
    """Hold the lock on ``folder`` that one sweep at a time may have."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UserError(f"-output {folder}: another sweep is at work there; wait for it") from error
    finally:
        os.close(lock)


def make_vocabulary(plan: Plan) -> None:
    """Count the vocabulary of all runs, unless it is there."""
    if not plan.vocabulary.exists():
        build_vocab(["-config", str(plan.runs[0].config)])
        logging.getLogger().setLevel(logging.WARNING)  # the progress says the rest
