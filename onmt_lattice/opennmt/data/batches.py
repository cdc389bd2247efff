"""Batches where a step wants them: tokens on its device, what the host looks at with the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor


class OnDevice:
    """Batches of OpenNMT-py, each moved to a device by :func:`moved` when it is taken.

    Args:
        batches: on the CPU.
        device: where to.
        padding: the token that stands for padding.
    """

    def __init__(self, batches: Iterable[Any], device: torch.device, padding: int) -> None:
        self._batches = batches
        self._device = device
        self._padding = padding

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            yield moved(batch, self._device, self._padding)


def moved(batch: Any, device: torch.device, padding: int) -> Any:
    """Return ``batch``, its tokens moved to ``device`` without waiting for it.

    The lengths of its sources and the indices of its lines stay on the CPU. It gets an attribute
    ``real``, ``(tokens,)`` int64 on ``device``: where in ``batch.tgt[1:]``, flattened, there is no
    padding.
    """
    src, lengths = batch.src
    real = batch.tgt[1:, :, 0].flatten().ne(padding).nonzero().squeeze(1)
    batch.src = _sent(src, device), lengths
    batch.tgt, batch.real = _sent(batch.tgt, device), _sent(real, device)
    return batch


def _sent(x: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        x = x.pin_memory()  # from elsewhere the device is waited for
    return x.to(device, non_blocking=True)
