"""Greedy decoding: the most probable word at every step, for hundreds of sentences at once."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from onmt_lattice.opennmt.model.autoencoder import Autoencoder
from onmt_lattice.opennmt.model.output_layer import Logits, slices, with_bias, with_one

BATCH_SIZE = 512  # sentences
ROUNDING = 2**-8  # the largest relative error of a number in bfloat16
MAX_CANDIDATES = 64  # words per row, on average, that are computed again one by one


def greedy(
    model: Autoencoder, outputs: Tensor, begin: int, end: int, max_length: int
) -> list[list[int]]:
    """Return the words decoded from the bottleneck's ``outputs`` ``(N, m)``, padded with ``end``.

    Sentences that have ended are left out of later steps. The batch size is fixed, so that it has
    no effect on the words.
    """
    argmax = Argmax(model.generator[0])
    batches = [batch for batch in outputs.split(BATCH_SIZE) if len(batch) > 0]
    return [
        words
        for batch in batches
        for words in _decode(model, argmax, batch, begin, end, max_length).tolist()
    ]


def _decode(
    model: Autoencoder, argmax: Argmax, outputs: Tensor, begin: int, end: int, max_length: int
) -> Tensor:
    """Return ``(len(outputs), steps)`` int64, with as many steps as the longest sentence."""
    decoder, device = model.decoder, next(model.parameters()).device
    words: list[Tensor] = []
    active = torch.arange(len(outputs), device=device)
    last = torch.full((1, len(outputs), 1), begin, device=device)
    state, memory, lengths = model.encoder.for_decoder(outputs.to(device))
    decoder.init_state(memory, memory, state)
    for step in range(max_length):
        words.append(torch.full((len(outputs),), end, device=device))
        rows, _ = decoder(last, memory, memory_lengths=lengths, step=step)
        best = argmax(rows[0])
        words[-1][active] = best
        unfinished = (best != end).nonzero().squeeze(1)
        if len(unfinished) == 0:
            break
        if len(unfinished) < len(active):
            active, best = active[unfinished], best[unfinished]
            memory, lengths = memory[:, unfinished], lengths[unfinished]
            decoder.map_state(
                lambda state, dim, unfinished=unfinished: state.index_select(dim, unfinished)
            )
        last = best.view(1, -1, 1)
    return torch.stack(words, 1)


def screens(device: torch.device) -> bool:
    """Return whether products in bfloat16 are fast enough on ``device`` for screening."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)  # bool() is False
    return device.type == "cpu" and bool(supported())


class Argmax:
    """The index of the greatest logit of a row, the first of equal ones.

    With screening, all logits are computed in bfloat16, whose error has a bound. The words that may
    be the greatest are computed again in single precision. If these are too many, or a number is
    too large for a bound, all words are.
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
            return self._exact(rows)
        return torch.cat([self._screened(rows[part]) for part in slices(len(rows), self._words)])

    @property
    def _words(self) -> int:
        return self._linear.out_features

    @cached_property
    def _logits(self) -> Logits:
        return Logits(self._linear)

    def _exact(self, rows: Tensor) -> Tensor:
        return torch.cat([logits.argmax(1) for _, logits in self._logits.of(rows)])

    def _screened(self, outputs: Tensor) -> Tensor:
        rows = with_one(outputs)
        logits = rows.bfloat16() @ self._columns
        top = logits.amax(1, keepdim=True).float()
        # The bound for two logits: the errors of their factors and their own.
        error = 2.1 * ROUNDING * rows.norm(dim=1, keepdim=True) * self._longest
        least = top - 2 * error - 4.1 * ROUNDING * top.abs()
        less = logits < least.to(logits.dtype)  # False where a number is not finite
        row, word = less.logical_not_().nonzero(as_tuple=True)
        if len(row) > MAX_CANDIDATES * len(rows):
            return self._exact(outputs)
        exact = (rows[row] * self._weight[word]).sum(1)
        best = exact.new_full((len(rows),), -torch.inf).scatter_reduce(0, row, exact, "amax")
        wins = exact == best[row]
        first = word.new_full((len(rows),), self._words)
        return first.scatter_reduce(0, row[wins], word[wins], "amin")
