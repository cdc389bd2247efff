"""Tokens, words letter by letter, and the exact decoder that gives their chances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from onmt_lattice.bitstream import BitstreamError, DamagedBitstream
from onmt_lattice.bitstream.coder import Meter, Reader, Writer
from onmt_lattice.bitstream.exact import ExactLinear, Floats
from onmt_lattice.bitstream.logarithms import Integers
from onmt_lattice.bitstream.lossless.decoder import Affine, Layer, RecurrentDecoder
from onmt_lattice.bitstream.lossless.patches import Patcher
from onmt_lattice.bitstream.lossless.spelling import Speller
from onmt_lattice.bitstream.lossless.tokens import LONGEST, State, TokenCodec
from onmt_lattice.errors import UserError

BEGIN, END = 2, 3


class Bigrams:
    """Scores of the next token by the one before, moved by the representation."""

    def __init__(self, vocabulary: int, spread: float = 2.0) -> None:
        self.vocabulary = vocabulary
        rng = np.random.default_rng(0)
        self.table = rng.standard_normal((64, vocabulary)) * spread * 2**20

    def start(self, values: Floats) -> State:
        return (values[:, :1].copy(),)

    def step(self, state: State, tokens: Integers) -> Floats:
        return self.table[(tokens + state[0][:, 0].astype(np.int64)) % 64]


def drawn(model: Bigrams, rows: int) -> tuple[Floats, list[list[int]], float]:
    """Return representations, sentences drawn from the model given them, and their bits."""
    rng = np.random.default_rng(1)
    values, sentences, bits = rng.integers(9, size=(rows, 2)).astype(float), [], 0.0
    for row in values:
        state, sentence, token = model.start(row[None]), [], BEGIN
        while token != END:
            scores = model.step(state, np.array([token]))[0] / 2**20
            chances = np.exp(scores - scores.max())
            chances /= chances.sum()
            token = int(rng.choice(len(chances), p=chances))
            if len(sentence) == 40:
                token = END
            bits -= math.log2(chances[token])
            sentence.append(token)
        sentences.append(sentence[:-1])
    return values, sentences, bits


@pytest.mark.parametrize("vocabulary", [4, 37, 70000])
def test_tokens_come_back_at_their_price(vocabulary: int) -> None:
    model = Bigrams(vocabulary)
    values, sentences, bits = drawn(model, 40)
    codec, writer, meter = TokenCodec(model, BEGIN, END), Writer(), Meter()
    assert codec.code(writer, values, sentences) == sentences
    codec.code(meter, values, sentences)
    reader = Reader(writer.payload())
    assert codec.code(reader, values, None) == sentences
    reader.check_end()
    floor = 2 * vocabulary / 2**24  # what every symbol's least frequency takes from the others
    assert meter.total == pytest.approx(bits, rel=1e-3 + floor)
    assert meter.total - 8 < 8 * len(writer.payload()) <= meter.total + 16


def test_tokens_of_next_to_no_chance_can_be_sent() -> None:
    model = Bigrams(300, spread=1000.0)
    sentences = [[token] for token in range(300) if token != END] + [[]]
    values = np.zeros((len(sentences), 1))
    codec, writer = TokenCodec(model, BEGIN, END), Writer()
    codec.code(writer, values, sentences)
    assert codec.code(Reader(writer.payload()), values, None) == sentences


def test_what_is_no_sentence_is_refused() -> None:
    codec = TokenCodec(Bigrams(30), BEGIN, END)
    for sentence in ([5] * (LONGEST + 1), [5, END, 5]):
        with pytest.raises(UserError, match="expected up to 1024"):
            codec.code(Writer(), np.zeros((1, 1)), [sentence])
    with pytest.raises(UserError, match="vocabulary of 3"):
        TokenCodec(Bigrams(3), BEGIN, END)


def test_reading_ends_whatever_the_bytes() -> None:
    rng = np.random.default_rng(0)
    model = Bigrams(20)
    model.table[:, END] -= 2**25  # no end in sight
    codec = TokenCodec(model, BEGIN, END)
    for size in (0, 4, 400):
        with pytest.raises(BitstreamError, match="more symbols than bytes can hold"):
            codec.code(Reader(rng.bytes(size)), np.zeros((300, 1)), None)
    model.table[:, 7] += 2**26  # and each step next to free
    with pytest.raises(DamagedBitstream, match="more than 1024 tokens"):
        codec.code(Reader(b"\x55" * 400), np.zeros((30, 1)), None)


STRINGS = [b"umbrella", b"umbrellas", b"horse", b"horses", b"", b"\0\xff\n", bytes(range(256)) * 9]


def test_strings_come_back_and_are_learned() -> None:
    writer, meter, speller, metered = Writer(), Meter(), Speller(STRINGS[:2]), Speller(STRINGS[:2])
    costs = []
    for word in STRINGS * 2:
        before = meter.total
        assert speller.code(writer, word) == word
        metered.code(meter, word)
        costs.append(meter.total - before)
    reader, speller = Reader(writer.payload()), Speller(STRINGS[:2])
    assert [speller.code(reader, None) for _ in STRINGS * 2] == STRINGS * 2
    reader.check_end()
    assert sum(costs) - 8 < 8 * len(writer.payload()) <= sum(costs) + 16
    assert costs[0] < 8 * len(STRINGS[0]) / 2 < costs[2]  # what it knows beforehand, and does not
    assert all(costs[7 + i] < costs[i] for i in (2, 3, 5, 6))  # those that were new


@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=40)), max_size=5))
def test_patched_lines_come_back(pairs: list[tuple[bytes, bytes]]) -> None:
    writer, patcher = Writer(), Patcher()
    for line, guess in pairs:
        assert patcher.code(writer, guess, line) == line
    reader, patcher = Reader(writer.payload()), Patcher()
    assert [patcher.code(reader, guess, None) for _, guess in pairs] == [line for line, _ in pairs]
    reader.check_end()


HIDDEN, WORDS, TOKENS, DIM = 24, 10, 50, 7


class Network:
    """A recurrent decoder of torch's with random weights, and the exact one made of it."""

    def __init__(self, kind: str, layers: int, scale: float = 0.5) -> None:
        torch.manual_seed(0)
        self.embeddings = nn.Embedding(TOKENS, WORDS)
        self.rnn = getattr(nn, kind)(WORDS, HIDDEN, layers)
        self.output = nn.Linear(HIDDEN, TOKENS)
        self.first = nn.Linear(DIM, layers * HIDDEN * (2 if kind == "LSTM" else 1))
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


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


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
