"""The GPUs that a sweep gives out."""

from __future__ import annotations

import os

import torch

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.sweep.options import NONE


def gpus(asked: list[str] | None, gpus_a_run: int) -> tuple[str, ...]:
    """Return the GPUs to train on, by their number or UUID; none for the CPU.

    Args:
        asked: the numbers given, ``["none"]``, or None to do as the configuration says: train on
            all that are visible if it has ``gpu_ranks``, else on the CPU.
        gpus_a_run: how many the configuration wants for a run; 0 for the CPU.

    Raises:
        UserError: if there are none or too few.
    """
    if asked == [NONE] or (asked is None and gpus_a_run == 0):
        return ()
    visible = visible_gpus()
    if not visible:
        raise UserError(
            f"-gpus {' '.join(asked) if asked else '(gpu_ranks in the configuration)'}: no CUDA "
            f"device was found; -gpus {NONE} trains on the CPU"
        )
    for gpu in asked or ():
        if gpu not in visible:
            raise UserError(f"-gpus {gpu}: expected some of {', '.join(visible)}, or {NONE}")
    found = tuple(asked or visible)
    if gpus_a_run > len(found):
        raise UserError(
            f"world_size {gpus_a_run}: a run takes more GPUs than the {len(found)} there are; "
            f"lower it, or give more -gpus"
        )
    return found


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, by their number or UUID."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return given.split(",")[:count] if given else [str(number) for number in range(count)]
