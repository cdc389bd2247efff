"""The most probable word of many rows at once, exactly, with most of the work in bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onmt_lattice.opennmt.logits import slices

ROUNDING = 2**-8  # the largest relative error of a number in bfloat16


def screens(device: torch.device) -> bool:
    """Return whether products in bfloat16 are so much faster on ``device`` that screening pays."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)  # bool() is False
    return device.type == "cpu" and bool(supported())


class Argmax:
    """The index of the greatest logit of a row, the first of several.

    If it ``screens``, all words are weighed in bfloat16, whose error has a bound: only those words
    that may have the greatest logit within it are weighed again, in single precision.

    Args:
        linear: from the decoder's outputs to the vocabulary.
        screening: whether it screens; by default where :func:`screens` says so.
    """

    def __init__(self, linear: nn.Linear, screening: bool | None = None) -> None:
        self._weight, self._bias = linear.weight.detach().float(), linear.bias.detach().float()
        weight = torch.cat([self._weight, self._bias[:, None]], 1)
        screening = screens(weight.device) if screening is None else screening
        self._longest = float(weight.norm(dim=1).amax()) if screening else None
        self._columns = weight.t().to(torch.bfloat16 if screening else torch.float).contiguous()

    def __call__(self, rows: Tensor) -> Tensor:
        """Return ``(N,)`` int64 for ``rows`` ``(N, dim)``, the decoder's outputs."""
        rows = torch.cat([rows.float(), rows.new_ones(len(rows), 1, dtype=torch.float)], 1)
        parts = [self._of(rows[part]) for part in slices(len(rows), self._columns.shape[1])]
        return torch.cat(parts)

    def _of(self, rows: Tensor) -> Tensor:
        logits = rows.to(self._columns.dtype) @ self._columns
        if self._longest is None:
            return logits.argmax(1)
        top = logits.amax(1, keepdim=True).float()
        # Each of two logits, as it is, is off by the errors of its factors and by its own.
        error = 2.1 * ROUNDING * rows.norm(dim=1, keepdim=True) * self._longest
        least = top - 2 * error - 4.1 * ROUNDING * top.abs()
        row, word = (logits >= least.to(logits.dtype)).nonzero(as_tuple=True)
        exact = (rows[row, :-1] * self._weight[word]).sum(1) + self._bias[word]
        best = exact.new_full((len(rows),), -torch.inf).scatter_reduce(0, row, exact, "amax")
        wins = exact == best[row]
        first = word.new_full((len(rows),), logits.shape[1])
        return first.scatter_reduce(0, row[wins], word[wins], "amin")
