"""Damaged checkpoints of runs that are to be tried again: put aside, so that others are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.sweep.run import Run

ASIDE = ".aside"


def put_aside(runs: Iterable[Run]) -> Iterator[str]:
    """Rename the damaged checkpoints of unfinished ``runs``, and say of each what was done.

    Training goes on from the newest checkpoint, so that those after a damaged one are renamed with
    it, and made again from the one before.
    """
    for run in runs:
        if run.finished:
            continue
        for each in filter(None, (run.waits_for, run)):
            for step, path in each.evaluated().items():
                if damage := _damage(path) if path.exists() else "":
                    later = {s: p for s, p in each.checkpoints().items() if s >= step}
                    for p in later.values():
                        p.replace(f"{p}{ASIDE}")
                    yield f"run {each.name}: {damage}; goes on from the checkpoint before"
                    break


def _damage(path: object) -> str:
    """Return why the checkpoint at ``path`` cannot be read, nothing if it can."""
    from onmt_lattice.opennmt.checkpoint import load_checkpoint

    try:
        load_checkpoint(str(path))
    except UserError as error:
        return str(error)
    return ""
