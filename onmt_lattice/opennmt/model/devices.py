"""What a step does where: when it may look at a value, and how exactly matrices are multiplied."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed


def can_look(x: Tensor) -> bool:
    """Return whether the host can look at a value of ``x`` without waiting for a device."""
    return x.device.type == "cpu"


# What torch multiplied in before, and what each call of matmul_precision under way asks for: the
# settings are the process's, and its threads may share a model.
_under_way: list[tuple[str, bool]] = []
_lock = threading.Lock()


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Multiply matrices of single precision as :func:`torch.set_float32_matmul_precision` says.

    So do RNNs on a GPU, to which cuDNN would give TF32 whatever that says.
    """
    with _lock:
        if not _under_way:
            before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
            _under_way.append(before)
        _under_way.append((precision, precision != "highest"))
        _multiply(*_under_way[-1])
    try:
        yield
    finally:
        with _lock:
            # The last of its kind: those of other threads may have come since.
            _under_way.reverse()
            _under_way.remove((precision, precision != "highest"))
            _under_way.reverse()
            _multiply(*_under_way[-1])
            if len(_under_way) == 1:
                _under_way.clear()


def _multiply(precision: str, cudnn_in_tf32: bool) -> None:
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = cudnn_in_tf32


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


ALIGNED = 16  # numbers of single precision, 64 bytes


def aligned(rows: int, columns: int, like: Tensor) -> Tensor:
    """Return a matrix, not filled, with every row at a multiple of 64 bytes from the first."""
    return like.new_empty(rows, -(-columns // ALIGNED) * ALIGNED)[:, :columns]


def linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return :func:`torch.nn.functional.linear` of ``rows`` ``(N, dim)``, aligned."""
    found: Tensor = _Linear.apply(rows, weight, bias)
    return found


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
