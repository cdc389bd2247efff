"""Devices and processes: reading values, the precision of products, sums over processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed

from onmt_lattice.bottlenecks.base import is_distributed


def is_on_host(x: Tensor) -> bool:
    """Return whether a value of ``x`` can be read without waiting for a device."""
    return x.device.type == "cpu"


# The original settings of torch, then those of every active matmul_precision: the settings belong
# to the process, whose threads may share a model.
_active: list[tuple[str, bool]] = []
_lock = threading.Lock()


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Multiply matrices as :func:`torch.set_float32_matmul_precision` says, in cuDNN's RNNs too."""
    with _lock:
        if not _active:
            original = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
            _active.append(original)
        _active.append((precision, precision != "highest"))
        _set_precision(*_active[-1])
    try:
        yield
    finally:
        with _lock:
            # Remove the last equal entry: other threads may have added theirs since.
            _active.reverse()
            _active.remove((precision, precision != "highest"))
            _active.reverse()
            _set_precision(*_active[-1])
            if len(_active) == 1:
                _active.clear()


def _set_precision(precision: str, allow_tf32: bool) -> None:
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = allow_tf32


T = TypeVar("T")


def rank() -> int:
    """Return the rank of this process, 0 if it trains alone."""
    return distributed.get_rank() if is_distributed() else 0


def gathered(value: T) -> list[T]:
    """Return the values of all processes, in their order; each of them must call this."""
    if not is_distributed():
        return [value]
    values: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def greatest(value: int, device: torch.device) -> int:
    """Return the greatest value of all processes, sent through ``device``."""
    if not is_distributed():
        return value
    tensor = torch.tensor(value, device=device)
    distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
    return int(tensor)


ALIGNED = 16  # numbers of single precision, 64 bytes


def aligned(rows: int, columns: int, like: Tensor) -> Tensor:
    """Return an empty matrix whose rows begin at multiples of 64 bytes."""
    return like.new_empty(rows, -(-columns // ALIGNED) * ALIGNED)[:, :columns]


def linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return :func:`torch.nn.functional.linear` of ``rows`` ``(N, dim)``, aligned."""
    return cast(Tensor, _Linear.apply(rows, weight, bias))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        out = aligned(len(rows), len(weight), rows)
        return torch.addmm(bias, rows, weight.t(), out=out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, weight = ctx.saved_tensors
        return grad @ weight, grad.t() @ rows, grad.sum(0)
