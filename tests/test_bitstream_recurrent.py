"""The decoder in exact arithmetic against torch's, and against itself in other orders."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from onmt_lattice.bitstream.exact import ExactLinear
from onmt_lattice.bitstream.lossless.decoder import Affine, Layer, RecurrentDecoder
from onmt_lattice.errors import UserError

HIDDEN, WORDS, TOKENS, DIM = 24, 10, 50, 7


class Network:
    """A recurrent decoder of torch's with random weights, and the exact one made of it."""

    def __init__(self, kind: str, layers: int, scale: float = 0.5) -> None:
        torch.manual_seed(0)
        self.embeddings = nn.Embedding(TOKENS, WORDS)
        self.rnn = getattr(nn, kind)(WORDS, HIDDEN, layers)
        self.output = nn.Linear(HIDDEN, TOKENS)
        self.states = 2 if kind == "LSTM" else 1
        self.first = nn.Linear(DIM, layers * HIDDEN * self.states)
        for module in (self.embeddings, self.rnn, self.output, self.first):
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=scale)
        self.layers = layers

    def exact(self) -> RecurrentDecoder:
        parameters = {k: numbers(v) for k, v in self.rnn.named_parameters()}
        layers = [
            Layer(*(parameters[f"{name}_l{i}"] for name in NAMES)) for i in range(self.layers)
        ]
        return RecurrentDecoder(
            numbers(self.embeddings.weight),
            layers,
            Affine(numbers(self.output.weight), numbers(self.output.bias)),
            Affine(numbers(self.first.weight), numbers(self.first.bias)),
        )

    def log_probabilities(self, values: Tensor, tokens: Tensor) -> Tensor:
        """Return ``(steps, rows, V)`` in nats."""
        parts = self.first(values).chunk(self.states, dim=1)
        state = tuple(p.view(len(p), -1, HIDDEN).transpose(0, 1).contiguous() for p in parts)
        out, _ = self.rnn(self.embeddings(tokens), state if self.states > 1 else state[0])
        return self.output(out).log_softmax(-1)


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


@pytest.mark.parametrize(("kind", "layers"), [("GRU", 1), ("GRU", 2), ("LSTM", 1), ("LSTM", 3)])
def test_scores_are_those_of_torch(kind: str, layers: int) -> None:
    network = Network(kind, layers)
    tokens, values = torch.randint(TOKENS, (30, 20)), torch.randn(20, DIM)
    with torch.no_grad():
        expected = network.log_probabilities(values, tokens).double()
    model = network.exact()
    state = model.start(numbers(values))
    for step, row in enumerate(tokens):
        scores = torch.from_numpy(model.step(state, row.numpy()) * 2.0**-20)
        difference = scores.log_softmax(-1) - expected[step]
        assert difference.abs().max() < 2e-3


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_scores_do_not_depend_on_the_batch_or_the_order_of_sums(kind: str) -> None:
    model, rng = Network(kind, 2).exact(), np.random.default_rng(0)
    values = rng.standard_normal((20, DIM)) * 3
    together, alone = model.start(values), [model.start(row[None]) for row in values]
    for _ in range(10):
        tokens = rng.integers(TOKENS, size=20)
        scores = model.step(together, tokens)
        for row, state, token in zip(scores, alone, tokens, strict=True):
            assert (model.step(state, np.array([token]))[0] == row).all()

    linear = ExactLinear(rng.standard_normal((5, 1000)), rng.standard_normal(5), bound=64)
    x = np.rint(rng.uniform(-64, 64, size=(3, 1000)) * 2**20)
    order = rng.permutation(1000)
    expected = linear(x)
    linear._weight = linear._weight[order]
    assert (linear(x[:, order]) == expected).all()


def test_a_sum_that_could_be_inexact_is_not_tried() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 500))
    linear = ExactLinear(weight * 100, np.zeros(4), bound=64)
    assert 8 <= linear.bits < 20
    largest = abs(linear._weight).sum(0).max() * 64 * 2**20
    assert largest < 2**52 <= 8 * largest  # as many bits as there is room for
    with pytest.raises(UserError, match="weights as large as"):
        ExactLinear(weight * 1e6, np.zeros(4), bound=64)
    with pytest.raises(UserError, match="no numbers"):
        ExactLinear(weight * np.nan, np.zeros(4), bound=64)


def test_states_beyond_all_bounds_stay_in_them() -> None:
    model = Network("LSTM", 1, scale=5.0).exact()
    state = model.start(np.full((1, DIM), 1e30))
    for _ in range(50):
        scores = model.step(state, np.array([1]))
    assert np.isfinite(scores).all()
    assert abs(state[0]).max() <= 2**26
