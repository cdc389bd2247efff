"""Greedy decoding: the most probable word at every step, of hundreds of sentences at once."""

from __future__ import annotations

import torch
from torch import Tensor

from onmt_lattice.opennmt.argmax import Argmax
from onmt_lattice.opennmt.model import Autoencoder

AT_ONCE = 512  # sentences


def greedy(model: Autoencoder, outputs: Tensor, begin: int, end: int, longest: int) -> Tensor:
    """Return ``(N, longest)`` int64, the words decoded for each sentence; ``end`` fills the rows.

    Sentences that have ended take no part in later steps. Batches, whose size is fixed, have no
    effect on the words.

    Args:
        model: in evaluation mode.
        outputs: ``(N, m)``, the bottleneck's output for each sentence.
        begin: index of the word that begins a sentence.
        end: index of the one that ends it.
        longest: the most words of a sentence.
    """
    if len(outputs) == 0:
        return torch.empty(0, longest, dtype=torch.long)
    argmax = Argmax(model.generator[0])
    parts = outputs.split(AT_ONCE)
    return torch.cat([_decoded(model, argmax, part, begin, end, longest) for part in parts])


def _decoded(
    model: Autoencoder, argmax: Argmax, outputs: Tensor, begin: int, end: int, longest: int
) -> Tensor:
    decoder, device = model.decoder, next(model.parameters()).device
    words = torch.full((len(outputs), longest), end, device=device)
    alive = torch.arange(len(outputs), device=device)
    last = torch.full((1, len(outputs), 1), begin, device=device)
    memory = model.encoder.empty_memory(last)
    decoder.init_state(last, memory, model.encoder.decoder_state(outputs.to(device)))
    for step in range(longest):
        rows, _ = decoder(last, memory[:, : len(alive)], step=step)
        best = argmax(rows[0])
        words[alive, step] = best
        going = (best != end).nonzero().squeeze(1)
        if len(going) == 0:
            break
        if len(going) < len(alive):
            alive, best = alive[going], best[going]
            decoder.map_state(lambda state, dim, going=going: state.index_select(dim, going))
        last = best.view(1, -1, 1)
    return words
