"""The decoder's logits of many rows, in memory that does not grow with their number."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from onmt_lattice.opennmt.model.devices import aligned

LOGITS_AT_ONCE = 2**23  # 32 MiB in single precision


def slices(length: int, vocabulary: int, times: int = 1) -> Iterator[slice]:
    """Yield slices of ``length`` rows, of at most ``times`` :data:`LOGITS_AT_ONCE` logits each."""
    size = max(1, times * LOGITS_AT_ONCE // vocabulary)
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def with_bias(linear: nn.Linear) -> Tensor:
    """Return ``(vocabulary, dim + 1)``, weights and bias, which :func:`with_one` multiplies."""
    return torch.cat([linear.weight.detach(), linear.bias.detach()[:, None]], 1).float()


def with_one(rows: Tensor) -> Tensor:
    """Return ``rows`` ``(N, dim)`` in single precision, a 1 behind each."""
    return torch.cat([rows.float(), rows.new_ones(len(rows), 1, dtype=torch.float)], 1)


class Logits:
    """Logits in bits: log2 of probabilities, but for a constant of each row; without gradient.

    The weights are laid out once as a product with many rows reads them, the bias among them, and
    every slice of the rows has its logits in the same place.

    Args:
        linear: from the decoder's outputs to the vocabulary.
    """

    def __init__(self, linear: nn.Linear) -> None:
        weight = with_bias(linear)
        self._weight = weight.mul_(1 / math.log(2)).t().contiguous()  # (dim + 1, vocabulary)
        self._room = aligned(0, len(weight), weight)

    def of(self, rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield slices of ``rows`` ``(N, dim)`` with their logits, which the next overwrite."""
        rows = with_one(rows)
        vocabulary = self._weight.shape[1]
        for part in slices(len(rows), vocabulary, times=2):
            size = part.stop - part.start
            if size > len(self._room):
                self._room = aligned(size, vocabulary, rows)
            yield part, torch.mm(rows[part], self._weight, out=self._room[:size])
