import math

import numpy as np
import pytest

from onmt_lattice.bitstream import BitstreamError, DamagedBitstream
from onmt_lattice.bitstream.coder import Meter, Reader, Writer
from onmt_lattice.bitstream.exact import Floats
from onmt_lattice.bitstream.logarithms import Integers
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
