"""Greedy decoding: the most probable word at every step, of hundreds of sentences at once."""

from __future__ import annotations

import torch
from torch import Tensor

from onmt_lattice.opennmt.inference.argmax import Argmax
from onmt_lattice.opennmt.model.autoencoder import Autoencoder

AT_ONCE = 512  # sentences


def greedy(
    model: Autoencoder, outputs: Tensor, begin: int, end: int, longest: int
) -> list[list[int]]:
    """Return the words decoded for each sentence, filled with ``end`` to the longest beside it.

    Sentences that have ended take no part in later steps. Batches, whose size is fixed, have no
    effect on the words.

    Args:
        model: in evaluation mode.
        outputs: ``(N, m)``, the bottleneck's output for each sentence.
        begin: index of the word that begins a sentence.
        end: index of the one that ends it.
        longest: the most words of a sentence.
    """
    argmax = Argmax(model.generator[0])
    parts = [part for part in outputs.split(AT_ONCE) if len(part) > 0]
    return [
        words
        for part in parts
        for words in _decoded(model, argmax, part, begin, end, longest).tolist()
    ]


def _decoded(
    model: Autoencoder, argmax: Argmax, outputs: Tensor, begin: int, end: int, longest: int
) -> Tensor:
    """Return ``(len(outputs), steps)`` int64, of as many steps as it takes."""
    decoder, device = model.decoder, next(model.parameters()).device
    words: list[Tensor] = []
    alive = torch.arange(len(outputs), device=device)
    last = torch.full((1, len(outputs), 1), begin, device=device)
    state, memory, lengths = model.encoder.for_decoder(outputs.to(device))
    decoder.init_state(memory, memory, state)
    for step in range(longest):
        words.append(torch.full((len(outputs),), end, device=device))
        rows, _ = decoder(last, memory, memory_lengths=lengths, step=step)
        best = argmax(rows[0])
        words[-1][alive] = best
        going = (best != end).nonzero().squeeze(1)
        if len(going) == 0:
            break
        if len(going) < len(alive):
            alive, best = alive[going], best[going]
            memory, lengths = memory[:, going], lengths[going]
            decoder.map_state(lambda state, dim, going=going: state.index_select(dim, going))
        last = best.view(1, -1, 1)
    return torch.stack(words, 1)
