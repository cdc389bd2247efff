"""The most probable word of many rows at once, exactly, with most of the work in bfloat16."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from onmt_lattice.opennmt.model.logits import Logits, slices, with_bias, with_one

ROUNDING = 2**-8  # the largest relative error of a number in bfloat16
MOST = 64  # words a row, on average, that are weighed again one by one


def screens(device: torch.device) -> bool:
    """Return whether products in bfloat16 are so much faster on ``device`` that screening pays."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)  # bool() is False
    return device.type == "cpu" and bool(supported())


class Argmax:
    """The index of the greatest logit of a row, the first of several.

    If it ``screens``, all words are weighed in bfloat16, whose error has a bound: only those words
    that may have the greatest logit within it are weighed again, in single precision. Where these
    are too many, or a number is so large that there is no bound, all words are.

    Args:
        linear: from the decoder's outputs to the vocabulary.
        screening: whether it screens; by default where :func:`screens` says so.
    """

    def __init__(self, linear: nn.Linear, screening: bool | None = None) -> None:
        self._linear = linear
        self._screens = screens(linear.weight.device) if screening is None else screening
        if self._screens:
            self._weight = with_bias(linear)
            self._longest = float(self._weight.norm(dim=1).amax())
            self._columns = self._weight.t().bfloat16().contiguous()

    def __call__(self, rows: Tensor) -> Tensor:
        """Return ``(N,)`` int64 for ``rows`` ``(N, dim)``, the decoder's outputs."""
        if not self._screens:
            return self._weighed(rows)
        return torch.cat([self._screened(rows[part]) for part in slices(len(rows), self._words)])

    @property
    def _words(self) -> int:
        return self._linear.out_features

    @cached_property
    def _logits(self) -> Logits:
        return Logits(self._linear)

    def _weighed(self, rows: Tensor) -> Tensor:
        return torch.cat([logits.argmax(1) for _, logits in self._logits.of(rows)])

    def _screened(self, outputs: Tensor) -> Tensor:
        rows = with_one(outputs)
        logits = rows.bfloat16() @ self._columns
        top = logits.amax(1, keepdim=True).float()
        # Each of two logits, as it is, is off by the errors of its factors and by its own.
        error = 2.1 * ROUNDING * rows.norm(dim=1, keepdim=True) * self._longest
        least = top - 2 * error - 4.1 * ROUNDING * top.abs()
        less = logits < least.to(logits.dtype)  # nothing is, where there is no number
        row, word = less.logical_not_().nonzero(as_tuple=True)
        if len(row) > MOST * len(rows):
            return self._weighed(outputs)
        exact = (rows[row] * self._weight[word]).sum(1)
        best = exact.new_full((len(rows),), -torch.inf).scatter_reduce(0, row, exact, "amax")
        wins = exact == best[row]
        first = word.new_full((len(rows),), self._words)
        return first.scatter_reduce(0, row[wins], word[wins], "amin")
