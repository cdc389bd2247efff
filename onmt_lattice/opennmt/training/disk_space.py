"""Whether the checkpoints that a run is going to keep find room on the disk."""

from __future__ import annotations

import os
import shutil
from argparse import Namespace

from onmt.utils.logging import logger
from torch import nn

# Tensors as large as the parameters that an optimizer keeps; of others at least none.
STATES = {"adam": 2, "fusedadam": 2, "sparseadam": 2, "adadelta": 2, "adagrad": 1}


def checkpoint_bytes(model: nn.Module, opt: Namespace) -> int:
    """Return about how many bytes a checkpoint of ``model`` has, rather too few than too many."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return weights * (1 + STATES.get(opt.optim, 0) + (opt.average_decay > 0))


def checkpoints_to_come(opt: Namespace, done: int) -> int:
    """Return how many checkpoints a run that goes on after step ``done`` adds and keeps."""
    made = opt.train_steps // opt.save_checkpoint_steps - done // opt.save_checkpoint_steps
    kept = made if opt.keep_checkpoint < 0 else min(made, opt.keep_checkpoint)
    return max(kept, 1)


def warn_of_room(opt: Namespace, model: nn.Module, done: int) -> None:
    """Warn if the disk cannot hold what the run is going to keep.

    Args:
        opt: of the training.
        model: what is trained.
        done: the step that the run goes on from, 0 for a new one.
    """
    folder = os.path.dirname(os.path.abspath(opt.save_model))
    count, size = checkpoints_to_come(opt, done), checkpoint_bytes(model, opt)
    free = shutil.disk_usage(folder).free
    if count * size > free:
        logger.warning(
            "-save_model %s: %d checkpoints of %.1f MB are to come, and %s has %.1f MB free; make "
            "room, or keep fewer by -keep_checkpoint or a larger -save_checkpoint_steps",
            *(opt.save_model, count, size / 1e6, folder, free / 1e6),
        )
