"""Where a run starts: anew, or from a checkpoint of its own; and what it must not overwrite."""

from __future__ import annotations

import glob
import os
import re
import secrets
from argparse import Namespace

from onmt.utils.logging import logger

from onmt_lattice.errors import UserError
from onmt_lattice.files import can_write, remove_parts
from onmt_lattice.opennmt.checkpoint import load_checkpoint
from onmt_lattice.opennmt.options import AUTO


def checkpoints(save_model: str) -> dict[int, str]:
    """Return the checkpoints that were saved under a base path by their step, in order."""
    found = {}
    for path in glob.glob(f"{glob.escape(save_model)}_step_*.pt"):
        match = re.fullmatch(r"_step_(\d+)\.pt", path.removeprefix(save_model))
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def newest_whole(save_model: str) -> str | None:
    """Return the newest checkpoint that can be read, warning of those that cannot.

    Raises:
        UserError: if there are checkpoints and none can be read.
    """
    paths = checkpoints(save_model)
    for path in reversed(paths.values()):
        try:
            load_checkpoint(path)
        except UserError as error:
            logger.warning("%s; looking for the one before", error)
        else:
            return path
    if paths:
        raise UserError(
            f"-resume auto: none of the {len(paths)} checkpoints under {save_model} can be read; "
            f"remove them to start anew"
        )
    return None


def settle_start(opt: Namespace) -> None:
    """Set ``opt.train_from`` and ``opt.seed`` to what the run starts with.

    Raises:
        UserError: if it would overwrite, or get mixed up with, the checkpoints of another run.
    """
    _check_path(opt.save_model)
    if opt.resume == AUTO:
        opt.train_from = newest_whole(opt.save_model) or opt.train_from
    else:
        _refuse_to_overwrite(opt)
    if opt.seed < 0:
        opt.seed = _seed(opt.train_from)


def _check_path(save_model: str) -> None:
    """Refuse a base path at which no checkpoint can be written, and remove parts of killed saves.

    Raises:
        UserError: if it is that of a folder, or a file cannot be made beside it.
    """
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
    remove_parts(save_model)


def _refuse_to_overwrite(opt: Namespace) -> None:
    held = checkpoints(opt.save_model)
    begin = 0
    if opt.train_from:
        begin = load_checkpoint(opt.train_from)["onmt_lattice"]["step"]
    later = [path for step, path in held.items() if step > begin]
    if later:
        raise UserError(
            f"-save_model {opt.save_model}: holds checkpoints beyond step {begin} already, up to "
            f"{later[-1]}; -resume auto goes on from it, another -save_model begins beside it, and "
            f"removing them makes room"
        )


def _seed(train_from: str) -> int:
    """Return the seed of the checkpoint to go on from, or one that is drawn."""
    if train_from:
        return int(load_checkpoint(train_from)["opt"].seed)
    seed = secrets.randbelow(2**32 - 1) + 1
    logger.info("-seed %d was drawn; with it the same run can be had again", seed)
    return seed
