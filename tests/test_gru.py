"""The GRU on a CPU: outputs, states and gradients are those of torch.nn.GRU."""

from __future__ import annotations

import pytest
import torch
from onmt.modules.embeddings import Embeddings
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from onmt_lattice.opennmt.model import gru

VOCABULARY, DIM, HIDDEN, PADDING = 9, 5, 4, 1
LENGTHS = {
    "of one length": None,
    "of several": [6, 6, 4, 3, 1],
    "one sentence": [5],
    "one word": [1, 1],
}


def embeddings() -> Embeddings:
    return Embeddings(DIM, VOCABULARY, PADDING)


def seen(module: nn.Module, made: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """Return what was made, and the gradients of its sum under the weights."""
    sum((a * w).sum() for a, w in zip(made, weights, strict=True)).backward()  # type: ignore[union-attr]
    gradients = [p.grad for p in module.parameters()]
    module.zero_grad()
    assert all(g is not None for g in gradients)
    return [*(m.detach() for m in made), *(g for g in gradients if g is not None)]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("outputs_used", [True, False])
def test_all_is_as_in_torch(lengths: str, layers: int, directions: int, outputs_used: bool) -> None:
    torch.manual_seed(1)
    rnn = nn.GRU(DIM, HIDDEN, layers, bidirectional=directions == 2)
    embed = embeddings()
    model = nn.ModuleList([rnn, embed])
    given = LENGTHS[lengths]
    batch, longest = (4, 5) if given is None else (len(given), given[0])
    tokens = torch.randint(2, VOCABULARY, (longest, batch))
    state = nn.Parameter(torch.randn(layers * directions, batch, HIDDEN))
    model.register_parameter("state", state)
    padded = embed(tokens.unsqueeze(-1))
    if given is None:
        expected, last = rnn(padded, state)
        expected = expected.flatten(0, 1)
    else:
        packed, last = rnn(pack_padded_sequence(padded, torch.tensor(given)), state)
        assert isinstance(packed, PackedSequence)
        expected = packed.data
    weights = [torch.randn_like(expected) * outputs_used, torch.randn_like(last)]
    assert gru.applies(rnn, embed)
    words = gru.words(embed, tokens, None if given is None else torch.tensor(given))
    assert len(words.vectors) <= VOCABULARY
    ours = list(gru.run(rnn, words, state))
    pairs = zip(seen(model, ours, weights), seen(model, [expected, last], weights), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_without_a_state_it_starts_from_zeros() -> None:
    rnn, embed = nn.GRU(DIM, HIDDEN), embeddings()
    tokens = torch.randint(2, VOCABULARY, (5, 3))
    expected, last = rnn(embed(tokens.unsqueeze(-1)))
    ours, ours_last = gru.run(rnn, gru.words(embed, tokens))
    torch.testing.assert_close(ours, expected.flatten(0, 1))
    torch.testing.assert_close(ours_last, last)


def test_dropout_is_between_layers_and_in_training_alone() -> None:
    torch.manual_seed(1)
    rnn, embed = nn.GRU(DIM, HIDDEN, 2, dropout=0.5), embeddings()
    words = gru.words(embed, torch.randint(2, VOCABULARY, (5, 3)))
    (one, one_last), (other, other_last) = (gru.run(rnn, words) for _ in range(2))
    assert not torch.equal(one, other)
    assert torch.equal(one_last[0], other_last[0])
    rnn.eval()
    assert torch.equal(gru.run(rnn, words)[0], gru.run(rnn, words)[0])


@pytest.mark.parametrize(
    ("rnn", "embed"),
    [
        (nn.LSTM(DIM, HIDDEN), embeddings()),
        (nn.GRU(DIM, HIDDEN).double(), embeddings()),
        (nn.GRU(DIM, HIDDEN), Embeddings(6, VOCABULARY, PADDING, position_encoding=True)),
    ],
    ids=["LSTM", "double", "positions"],
)
def test_everything_else_is_left_to_torch(rnn: nn.Module, embed: nn.Module) -> None:
    assert not gru.applies(rnn, embed)
