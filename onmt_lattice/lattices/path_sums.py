"""Log of the total weight of all paths along a trellis, by kernels, with its gradients.

The gradients are computed in the forward pass, in closed form: those of the classes, weighted by
their posteriors. No graph is kept, only two numbers per coordinate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

MAX_SPREAD = 600.0  # of log weights of states, up to which no sum in float64 can lose one
MIN_MASS = 1e-270  # of the kernels' sums, above which lost terms are negligible


class PathSums(torch.autograd.Function):
    """Log of the total weight of the paths at points ``(N, n)``: ``(N,)`` float64.

    Also returns ``(N,)`` bool: True if the range of float64 was too small and the value is invalid.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, log_s: Tensor, trellis: tuple[Any, ...], memory: int
    ) -> tuple[Tensor, Tensor]:
        """Sum over the paths of ``trellis``, as kernels take it, with ν = ``memory``."""
        from onmt_lattice.lattices.kernels import (
            trellis as kernels,  # numba takes a while to import
        )

        needs_gradient = any(ctx.needs_input_grad)
        weights, slopes, tops, spans = _weigh(y, log_s, trellis[-1], needs_gradient)
        steep = _spread(spans, memory) > MAX_SPREAD
        values, masses = _numbers(2, len(y))
        posteriors = _numbers(len(y) if needs_gradient or steep.any() else 0, *weights.shape[1:])
        kernels.log_sums(
            weights.numpy(), *trellis, values.numpy(), posteriors.numpy(), masses.numpy()
        )
        lost = steep & ~(masses > MIN_MASS)
        if needs_gradient:
            shares = zip(posteriors.unbind(-1), slopes.unbind(-1), strict=True)
            gradients = torch.stack([share * slope for share, slope in shares]).sum(0)
            ctx.save_for_backward(gradients.masked_fill_(lost[:, None], 0.0))
        ctx.mark_non_differentiable(lost)
        return values + tops.sum(-1), lost

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients in the points and in the logs of the scales."""
        (gradients,) = ctx.saved_tensors
        return *(gradients * grad[:, None]), None, None


def _weigh(
    y: Tensor, log_s: Tensor, ways: tuple[int, ...], needs_gradient: bool
) -> tuple[Tensor, ...]:
    """Return the outputs of :func:`class_kernels.class_weights`, slopes if ``needs_gradient``."""
    from onmt_lattice.lattices.kernels import theta as class_kernels

    q, count = len(ways), y.numel()
    slopes = _numbers(2, count if needs_gradient else 0, q)
    outputs = _numbers(count, q), slopes, *_numbers(2, count)
    inputs = (v.detach().double().reshape(-1).numpy() for v in (y, log_s))
    class_kernels.class_weights(*inputs, q, *(v.numpy() for v in outputs))
    weights, _, tops, spans = outputs
    slopes = slopes.view(2, *y.shape, q) if needs_gradient else slopes
    return weights.view(*y.shape, q), slopes, tops.view_as(y), spans.view_as(y)


def _spread(spans: Tensor, memory: int) -> Tensor:
    """Return ``(N,)``, a bound on the spread of the log weights of states.

    Any state is reached from the best one in ν sections, at worst by the worst classes, whose logs
    are at most ``spans`` ``(N, n)`` below those of the best classes.
    """
    return spans.unfold(-1, 2 * (memory + 1), 2).sum(-1).amax(-1)


def _numbers(*shape: int) -> Tensor:
    """Return a float64 tensor for a kernel to set."""
    return torch.empty(shape, dtype=torch.float64)
