"""The output layer, with memory that does not grow with the rows: logits, and cross entropy.

For the cross entropy, the logits of some thousand rows at a time become their own gradient, in
place: no log-softmax is kept for a backward pass, and the decoder's first guesses are counted on
the way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from onmt_lattice.opennmt.model.devices import aligned, is_on_host

MAX_LOGITS = 2**23  # 32 MiB in single precision


def slices(length: int, vocabulary: int, times: int = 1) -> Iterator[slice]:
    """Yield slices of ``length`` rows, of at most ``times`` :data:`MAX_LOGITS` logits each."""
    size = max(1, times * MAX_LOGITS // vocabulary)
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def with_bias(linear: nn.Linear) -> Tensor:
    """Return ``(vocabulary, dim + 1)``, weights and bias, which :func:`with_one` multiplies."""
    return torch.cat([linear.weight.detach(), linear.bias.detach()[:, None]], 1).float()


def with_one(rows: Tensor) -> Tensor:
    """Return ``rows`` ``(N, dim)`` in single precision, a 1 behind each."""
    return torch.cat([rows.float(), rows.new_ones(len(rows), 1, dtype=torch.float)], 1)


class Logits:
    """Logits in bits: log2 of probabilities plus a constant of each row, without gradient.

    Weights and bias of ``linear``, from the decoder's outputs to the vocabulary, are copied once in
    the order in which a product with many rows reads them. All slices share one buffer.
    """

    def __init__(self, linear: nn.Linear) -> None:
        weight = with_bias(linear)
        self._weight = weight.mul_(1 / math.log(2)).t().contiguous()  # (dim + 1, vocabulary)
        self._buffer = aligned(0, len(weight), weight)

    def of(self, rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield slices of ``rows`` ``(N, dim)`` with their logits, overwritten by the next."""
        rows = with_one(rows)
        vocabulary = self._weight.shape[1]
        for part in slices(len(rows), vocabulary, times=2):
            size = part.stop - part.start
            if size > len(self._buffer):
                self._buffer = aligned(size, vocabulary, rows)
            yield part, torch.mm(rows[part], self._weight, out=self._buffer[:size])


class CrossEntropy(NamedTuple):
    """The cost of some tokens.

    Attributes:
        loss: scalar, the sum of −log softmax at the target, times ``scale``; differentiable.
        nll_nats: scalar, float64, the sum itself.
        correct: scalar, int64, number of targets with the greatest logit of their row.
    """

    loss: Tensor
    nll_nats: Tensor
    correct: Tensor


def cross_entropy(
    rows: Tensor, linear: nn.Linear, target: Tensor, scale: float = 1.0
) -> CrossEntropy:
    """Return the cross entropy of ``target`` under softmax(``linear(rows)``).

    Its gradient is formed in the forward pass, already times ``scale``.

    Args:
        rows: ``(n, dim)``. If of bfloat16, matrices are multiplied in it; all else is in single
            precision.
        linear: from dim to the vocabulary.
        target: ``(n,)`` int64.
        scale: factor of the loss, such as one over the sentences of a batch.
    """
    weight, bias = linear.weight.float(), linear.bias.float()
    rows = rows if rows.dtype == torch.bfloat16 else rows.float()
    loss, nll, correct = _CrossEntropy.apply(rows, weight, bias, target, scale)
    return CrossEntropy(loss, nll, correct)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, target: Tensor, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        for_rows, for_weight, for_bias = ctx.needs_input_grad[:3]
        d_rows = torch.empty_like(rows) if for_rows else None
        d_weight = aligned(len(weight), weight.shape[1], weight) if for_weight else None
        d_bias = torch.zeros_like(bias) if for_bias else None
        if d_weight is not None and len(rows) == 0:
            d_weight.zero_()
        nll = torch.zeros((), dtype=torch.double, device=rows.device)
        correct = torch.zeros((), dtype=torch.long, device=rows.device)
        buffer, low = aligned(0, len(weight), weight), weight.to(rows.dtype)
        for part in slices(len(rows), len(weight)):
            inputs, labels = rows[part], target[part, None]
            if len(buffer) < len(inputs):  # at the first slice, which is the longest
                buffer = aligned(len(inputs), len(weight), weight)
            logits = _logits(inputs, low, bias, buffer[: len(inputs)])
            top, at_target = logits.amax(1, keepdim=True), logits.gather(1, labels)
            correct += (at_target == top).sum()
            mass = logits.sub_(top).exp_()  # softmax without the factor 1 / total
            total = mass.sum(1, keepdim=True)
            nll += (total.log() + (top - at_target)).sum(dtype=torch.double)
            if not (for_rows or for_weight or for_bias):
                continue
            # d loss / d logits = (mass - total at the target) * factor
            factor = scale / total
            gradient = mass.scatter_add_(1, labels, -total)
            if d_rows is not None:
                torch.mm(gradient.to(low.dtype), low, out=d_rows[part]).mul_(factor)
            if d_weight is not None:
                scaled = (inputs * factor).to(low.dtype)
                _add_product(d_weight, gradient.to(low.dtype).t(), scaled, part.start == 0)
            if d_bias is not None:
                d_bias.addmv_(gradient.t(), factor.squeeze(1))
        ctx.gradients = d_rows, d_weight, d_bias
        ctx.mark_non_differentiable(nll, correct)
        return (nll * scale).to(weight.dtype), nll, correct

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_loss: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if not is_on_host(d_loss) or d_loss != 1:  # it is 1 in training
            gradients = tuple(None if g is None else g.mul_(d_loss) for g in gradients)
        return (*gradients, None, None)


def _logits(rows: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """Set ``out``, in single precision, to the logits of ``rows``."""
    if rows.dtype == out.dtype:
        return torch.addmm(bias, rows, weight.t(), out=out)
    return out.copy_(rows @ weight.t()).add_(bias)


def _add_product(total: Tensor, a: Tensor, b: Tensor, first: bool) -> None:
    """Add ``a`` times ``b`` to ``total``, in single precision; the ``first`` product sets it."""
    if a.dtype == total.dtype:
        total.addmm_(a, b, beta=int(not first))
    elif first:
        total.copy_(a @ b)
    else:
        total.add_(a @ b)
