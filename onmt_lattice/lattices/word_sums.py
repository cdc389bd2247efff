"""Log of the total weight of all words of a code, by kernels, with its gradients.

The gradients are made on the way, in closed form: those of the residues, weighed by the share of
the words that they are in. So no graph is kept, only two numbers a coordinate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from onmt_lattice.lattices.kernels.circuit import Circuit


class WordSums(torch.autograd.Function):
    """Log of the total weight of the words at points ``(N, n)``: ``(N,)`` float64."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, log_s: Tensor, period: int, circuit: Circuit) -> Tensor:
        """Sum over the words of ``circuit``, whose residues are those modulo ``period``."""
        from onmt_lattice.lattices.kernels import circuit_sums  # numba takes a while to import

        wanted = len(y) if any(ctx.needs_input_grad) else 0
        values = torch.empty(len(y), dtype=torch.float64)
        gradients = torch.empty(2, wanted, y.shape[1], dtype=torch.float64)
        at = (v.detach().double().contiguous().numpy() for v in (y, log_s))
        circuit_sums.log_sums(*at, period, circuit, values.numpy(), gradients.numpy())
        ctx.save_for_backward(gradients)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients in the points and in the logs of the scales."""
        (gradients,) = ctx.saved_tensors
        return *(gradients * grad[:, None]), None, None
