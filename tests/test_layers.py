"""The GRU, the output layer and aligned matrices: values and gradients are torch's."""

from __future__ import annotations

import pytest
import torch
from onmt.modules.embeddings import Embeddings
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode

from onmt_lattice.opennmt.model import gru, output_layer
from onmt_lattice.opennmt.model.devices import linear
from onmt_lattice.opennmt.model.output_layer import cross_entropy

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


def test_dropout_is_between_layers_and_in_training_alone() -> None:
    torch.manual_seed(1)
    rnn, embed = nn.GRU(DIM, HIDDEN, 2, dropout=0.5), embeddings()
    words = gru.words(embed, torch.randint(2, VOCABULARY, (5, 3)))
    (one, one_last), (other, other_last) = (gru.run(rnn, words) for _ in range(2))
    assert not torch.equal(one, other)
    assert torch.equal(one_last[0], other_last[0])
    rnn.eval()
    assert torch.equal(gru.run(rnn, words)[0], gru.run(rnn, words)[0])


N, WIDTH, WORDS = 37, 6, 50


def inputs(spread: float = 1.0) -> tuple[Tensor, nn.Linear, Tensor]:
    torch.manual_seed(1)
    linear = nn.Linear(WIDTH, WORDS)
    with torch.no_grad():
        linear.weight.mul_(spread)
    return torch.randn(N, WIDTH, requires_grad=True), linear, torch.randint(WORDS, (N,))


def gradients(rows: Tensor, linear: nn.Linear) -> list[Tensor]:
    found = [rows.grad, linear.weight.grad, linear.bias.grad]
    rows.grad = linear.weight.grad = linear.bias.grad = None
    assert all(g is not None for g in found)
    return [g for g in found if g is not None]


@pytest.mark.parametrize("at_once", [WORDS, 5 * WORDS + 1, 2**23])
@pytest.mark.parametrize("spread", [1.0, 300.0])  # the second is sure of nearly every word
@pytest.mark.parametrize(("scale", "further"), [(1.0, 1.0), (1 / 7, 1.0), (0.5, 3.0)])
def test_value_and_gradient_are_those_of_the_definition(
    at_once: int, spread: float, scale: float, further: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_layer, "MAX_LOGITS", at_once)
    rows, linear, target = inputs(spread)
    found = cross_entropy(rows, linear, target, scale)
    (further * found.loss).backward()
    ours = gradients(rows, linear)
    logits = functional.linear(rows.double(), linear.weight.double(), linear.bias.double())
    expected = functional.cross_entropy(logits, target, reduction="sum")
    (further * scale * expected).backward()
    for one, other in zip(ours, gradients(rows, linear), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * spread)
    torch.testing.assert_close(found.nll_nats, expected, rtol=1e-6, atol=1e-6)
    assert found.loss.item() == pytest.approx(scale * expected.item(), rel=1e-6)
    assert found.correct.item() == (logits.argmax(1) == target).sum()


def test_what_is_frozen_gets_no_gradient() -> None:
    rows, linear, target = inputs()
    linear.requires_grad_(False)
    cross_entropy(rows, linear, target).loss.backward()
    assert rows.grad is not None
    assert linear.weight.grad is None
    with torch.no_grad():
        assert not cross_entropy(rows, linear, target).loss.requires_grad


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.numel = max(self.numel, out.numel())
        return out


def test_memory_for_logits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_layer, "MAX_LOGITS", 20 * WORDS)
    rows, linear, target = inputs()
    with Largest() as seen:
        cross_entropy(rows, linear, target).loss.backward()
    padded = 64  # numbers of a row, aligned
    assert seen.numel <= 20 * padded < N * WORDS


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_a_linear_map_and_its_gradient(rows: int) -> None:
    torch.manual_seed(1)
    given = [torch.randn(*shape, requires_grad=True) for shape in ((rows, 5), (7, 5), (7,))]
    flow = torch.randn(rows, 7)
    found, expected = linear(*given), functional.linear(*given)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, given, flow),
        torch.autograd.grad(expected, given, flow),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
