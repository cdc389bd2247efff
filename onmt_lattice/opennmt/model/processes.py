"""Several processes that train one model: which of them this is, and what each of them has."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


def rank() -> int:
    """Return the number of this process among those that train together, 0 if it is alone."""
    return distributed.get_rank() if _several() else 0


def gathered(value: T) -> list[T]:
    """Return the value of every process, in their order; all of them have to call this."""
    if not _several():
        return [value]
    values: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def greatest(value: int, device: torch.device) -> int:
    """Return the greatest value of all processes, sent through ``device``."""
    if not _several():
        return value
    sent = torch.tensor(value, device=device)
    distributed.all_reduce(sent, distributed.ReduceOp.MAX)
    return int(sent)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
