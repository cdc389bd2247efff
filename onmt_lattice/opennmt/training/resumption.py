"""Where a run starts: anew, or from a checkpoint of its own; and what it must not overwrite."""

from __future__ import annotations

import os
import secrets
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from onmt.utils.logging import logger

from onmt_lattice.errors import UserError
from onmt_lattice.files import can_write, checkpoints, remove_parts
from onmt_lattice.locks import LOCK, NoLocks, only_user
from onmt_lattice.opennmt.checkpoint import OUR_KEY, load_checkpoint
from onmt_lattice.opennmt.options.parsers import AUTO


@contextmanager
def only_training(save_model: str) -> Iterator[None]:
    """Let no other training write checkpoints under ``save_model``; remove parts of killed saves.

    Where the file system has no locks, a warning leaves that to the user.
    """
    _check_path(save_model)
    folder, name = os.path.split(save_model)
    with ExitStack() as stack:
        try:
            lock = only_user(Path(folder), f".{name}{LOCK}", f"-save_model {save_model}")
            stack.enter_context(lock)
        except NoLocks as error:
            logger.warning("%s", error)
        remove_parts(save_model)
        yield


def newest_whole(save_model: str) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint that can be read, and its path, warning of those that cannot.

    One whose step is another than its name's was put there by hand, and would stay the newest.
    """
    paths = checkpoints(save_model)
    for named, path in reversed(paths.items()):
        try:
            checkpoint = load_checkpoint(path)
            if (step := checkpoint[OUR_KEY]["step"]) != named:
                raise UserError(f"checkpoint {path}: is of step {step}, not of {named}")
            return path, checkpoint
        except UserError as error:
            logger.warning("%s; looking for the one before", error)
    if paths:
        raise UserError(
            f"-resume auto: none of the {len(paths)} checkpoints under {save_model} can be read; "
            f"remove them to start anew"
        )
    return None


def resolve_checkpoint(opt: Namespace) -> dict[str, Any] | None:
    """Return the checkpoint that a run starts from; set ``opt.train_from`` and ``opt.seed``."""
    found = newest_whole(opt.save_model) if opt.resume == AUTO else None
    start: dict[str, Any] | None = None
    if found is not None:
        opt.train_from, start = str(found[0]), found[1]
        _remove_older(opt, start[OUR_KEY]["step"])
    elif opt.train_from:
        start = load_checkpoint(opt.train_from)
    if opt.resume != AUTO:
        _refuse_to_overwrite(opt.save_model, 0 if start is None else start[OUR_KEY]["step"])
    if opt.seed < 0:
        opt.seed = _drawn_seed() if start is None else int(start["opt"].seed)
    return start


def _remove_older(opt: Namespace, step: int) -> None:
    """Remove what a run that was killed behind its save at ``step`` would have removed next."""
    if opt.keep_checkpoint > 0:
        upto = [path for of, path in checkpoints(opt.save_model).items() if of <= step]
        for path in upto[: -opt.keep_checkpoint]:
            path.unlink(missing_ok=True)


def _check_path(save_model: str) -> None:
    """Refuse a base path at which no checkpoint can be written."""
    folder, name = os.path.split(save_model)
    if name in ("", ".", "..") or os.path.isdir(save_model):
        raise UserError(
            f"-save_model {save_model}: is a folder; expected what names of checkpoints begin "
            f"with, such as {os.path.join(save_model, 'model')}"
        )
    try:
        can_write(folder or ".")
    except OSError as error:
        raise UserError(
            f"-save_model {save_model}: no checkpoint can be written to {folder or '.'} "
            f"({error.strerror})"
        ) from error


def _refuse_to_overwrite(save_model: str, begin: int) -> None:
    """Refuse to go on from step ``begin`` where there are checkpoints of later ones."""
    later = [path for step, path in checkpoints(save_model).items() if step > begin]
    if later:
        raise UserError(
            f"-save_model {save_model}: holds checkpoints beyond step {begin} already, up to "
            f"{later[-1]}; -resume auto resumes from it, another -save_model begins beside it, and "
            f"removing them makes room"
        )


def _drawn_seed() -> int:
    seed = secrets.randbelow(2**32 - 1) + 1
    logger.info("-seed %d was drawn; with it the same run can be had again", seed)
    return seed
