"""Log of the total weight of all paths along a trellis, by kernels, with its gradients.

The gradients are made on the way, in closed form: those of the classes, weighed by their
posterior. So no graph is kept, only two numbers a coordinate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LARGEST_SPREAD = 600.0  # of log weights of states: where no sum in float64 can lose one
LEAST_MET = 1e-270  # of the kernels' sums, above which what they lost does not count


class PathSums(torch.autograd.Function):
    """Log of the total weight of the paths at points ``(N, n)``: ``(N,)`` float64.

    It comes with ``(N,)`` bool: where float64 had not the range, and the value is none.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, log_s: Tensor, trellis: tuple[Any, ...], memory: int
    ) -> tuple[Tensor, Tensor]:
        """Sum over the paths of ``trellis``, as the kernels know it, with ν = ``memory``."""
        from onmt_lattice.lattices.kernels import (
            trellis as kernels,  # numba takes a while to import
        )

        wanted = any(ctx.needs_input_grad)
        weights, slopes, tops, spans = _weigh(y, log_s, trellis[-1], wanted)
        steep = _spread(spans, memory) > LARGEST_SPREAD
        values, met = _numbers(2, len(y))
        posteriors = _numbers(len(y) if wanted or steep.any() else 0, *weights.shape[1:])
        kernels.log_sums(weights.numpy(), *trellis, values.numpy(), posteriors.numpy(), met.numpy())
        lost = steep & ~(met > LEAST_MET)
        if wanted:
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


def _weigh(y: Tensor, log_s: Tensor, ways: tuple[int, ...], wanted: bool) -> tuple[Tensor, ...]:
    """Return what :func:`class_kernels.class_weights` sets, the slopes only if ``wanted``."""
    from onmt_lattice.lattices.kernels import theta as class_kernels

    q, count = len(ways), y.numel()
    slopes = _numbers(2, count if wanted else 0, q)
    found = _numbers(count, q), slopes, *_numbers(2, count)
    at = (v.detach().double().reshape(-1).numpy() for v in (y, log_s))
    class_kernels.class_weights(*at, q, *(v.numpy() for v in found))
    weights, _, tops, spans = found
    slopes = slopes.view(2, *y.shape, q) if wanted else slopes
    return weights.view(*y.shape, q), slopes, tops.view_as(y), spans.view_as(y)


def _spread(spans: Tensor, memory: int) -> Tensor:
    """Return ``(N,)``, how far apart the log weights of states can be.

    From the best state any other is reached in ν sections, at worst by the worst classes, whose
    logs lie at most ``spans`` ``(N, n)`` below those of the best.
    """
    return spans.unfold(-1, 2 * (memory + 1), 2).sum(-1).amax(-1)


def _numbers(*shape: int) -> Tensor:
    """Return a float64 tensor for a kernel to set."""
    return torch.empty(shape, dtype=torch.float64)
