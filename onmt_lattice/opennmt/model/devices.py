"""What a step does where: when it may look at a value, and how exactly matrices are multiplied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def can_look(x: Tensor) -> bool:
    """Return whether the host can look at a value of ``x`` without waiting for a device."""
    return x.device.type == "cpu"


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Multiply matrices of single precision as :func:`torch.set_float32_matmul_precision` says.

    So do RNNs on a GPU, to which cuDNN would give TF32 whatever that says.
    """
    before, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = cudnn
