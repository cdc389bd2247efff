"""The decoder's logits of many rows, in memory that does not grow with their number."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from onmt_lattice.opennmt.model.devices import aligned

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
