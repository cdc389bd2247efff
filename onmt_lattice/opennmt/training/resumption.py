"""Where a run starts: from nothing or from a checkpoint; and what it must not overwrite."""

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
from onmt_lattice.files import check_output, checkpoints, remove_parts
from onmt_lattice.locks import LOCK, NoLocks, only_user
from onmt_lattice.opennmt.checkpoint.contents import PLUGIN_KEY
from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint
from onmt_lattice.opennmt.options.parsers import AUTO


@contextmanager
def only_training(save_model: str) -> Iterator[None]:
    """Let no other training write under ``save_model``; remove temporary files of killed ones.

    Without locks in the file system, a warning is logged.
    """
    folder, name = os.path.split(save_model)
    if name in ("", ".", "..") or os.path.isdir(save_model):
        raise UserError(
            f"-save_model {save_model}: is a folder; expected the beginning of the checkpoints' "
            f"paths, such as {os.path.join(save_model, 'model')}"
        )
    check_output(save_model, "-save_model")
    with ExitStack() as stack:
        try:
            lock = only_user(Path(folder), f".{name}{LOCK}", f"-save_model {save_model}")
            stack.enter_context(lock)
        except NoLocks as error:
            logger.warning("%s", error)
        remove_parts(save_model)
        yield


def newest_whole(save_model: str) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest readable checkpoint and its path; warn of those that cannot be read.

    A file named after another step was copied by hand, and would stay the newest: it is skipped.
    """
    paths = checkpoints(save_model)
    for name_step, path in reversed(paths.items()):
        try:
            checkpoint = load_checkpoint(path)
            if (step := checkpoint[PLUGIN_KEY]["step"]) != name_step:
                raise UserError(f"checkpoint {path}: is of step {step}, not of {name_step}")
            return path, checkpoint
        except UserError as error:
            logger.warning("%s; looking for the one before", error)
    if paths:
        raise UserError(
            f"-resume auto: none of the {len(paths)} checkpoints under {save_model} can be read; "
            f"remove them to start anew"
        )
    return None


def first_step(opt: Namespace, checkpoint: dict[str, Any] | None) -> int:
    """Return the number of steps before a run; with ``-reset_optim all`` it counts from 0."""
    if checkpoint is None or opt.reset_optim == "all":
        return 0
    return int(checkpoint[PLUGIN_KEY]["step"])


def resolve_checkpoint(opt: Namespace) -> dict[str, Any] | None:
    """Return the checkpoint that a run starts from; set ``opt.train_from`` and ``opt.seed``.

    A run that began from ``-train_from`` is not reset again when it is resumed.
    """
    newest = newest_whole(opt.save_model) if opt.resume == AUTO else None
    checkpoint: dict[str, Any] | None = None
    if newest is not None:
        if opt.train_from:
            opt.reset_optim, opt.update_vocab = "none", False
        opt.train_from, checkpoint = str(newest[0]), newest[1]
    elif opt.train_from:
        checkpoint = load_checkpoint(opt.train_from)
    step = first_step(opt, checkpoint)
    paths = checkpoints(opt.save_model)
    later = [path for number, path in paths.items() if number > step]
    if later and (opt.resume != AUTO or opt.reset_optim == "all"):
        cure = "-resume auto" + " without -reset_optim all" * (opt.reset_optim == "all")
        raise UserError(
            f"-save_model {opt.save_model}: holds checkpoints beyond step {step} already, up to "
            f"{later[-1]}; {cure} resumes from it; otherwise choose another -save_model, or "
            f"remove them"
        )
    if newest is not None and opt.keep_checkpoint > 0:  # it was killed before it removed these
        older = [path for number, path in paths.items() if number <= step]
        for path in older[: -opt.keep_checkpoint]:
            path.unlink(missing_ok=True)
    if opt.seed < 0:
        if checkpoint is not None:
            opt.seed = int(checkpoint["opt"].seed)
        else:
            opt.seed = secrets.randbelow(2**32 - 1) + 1
            logger.info("-seed %d was drawn; the same seed repeats the run", opt.seed)
    return checkpoint
