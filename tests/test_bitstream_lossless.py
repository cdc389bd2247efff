"""Any bytes come back, whatever the segmentation drops; and nothing else is ever given out."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.bitstream import BitstreamError, DamagedBitstream
from onmt_lattice.bitstream.coder import AdaptiveSymbols, Writer
from onmt_lattice.bitstream.exact import Floats
from onmt_lattice.bitstream.logarithms import Integers
from onmt_lattice.bitstream.lossless.lines import (
    PATCHED,
    PLAIN,
    RAW,
    LosslessCodec,
    Sections,
    Segmentation,
    Vocabulary,
)
from onmt_lattice.bitstream.lossless.spelling import Speller
from onmt_lattice.bitstream.lossless.tokens import State, TokenCodec

MARKS = ["<unk>", "<blank>", "<s>", "</s>"]
WORDS = "a the man woman rides sees horse dog . , in of and on with red blue big".split()
VOCABULARY = Vocabulary([*MARKS, *WORDS], 0, 2, 3, 1)


class Whitespace:
    def tokens(self, line: str) -> list[str]:
        return line.split()

    def text(self, tokens: list[str]) -> str:
        return " ".join(tokens)


class LowerCase(Whitespace):
    def tokens(self, line: str) -> list[str]:
        return line.lower().split()


class Forgetful(Whitespace):
    """Drops every word but the first, and puts a mark of its own before it."""

    def tokens(self, line: str) -> list[str]:
        return ["<s>", *line.split()[:1]]


class Nothing(Whitespace):
    def tokens(self, line: str) -> list[str]:
        return []


class Reversed(Whitespace):
    """Gives a line back from its end."""

    def text(self, tokens: list[str]) -> str:
        return " ".join(reversed(tokens))


SEGMENTATIONS = [Whitespace(), LowerCase(), Forgetful(), Nothing(), Reversed()]


class Model:
    """Scores that depend on the representation and on all tokens before."""

    vocabulary = len(VOCABULARY.tokens)
    table = np.random.default_rng(0).standard_normal((97, len(VOCABULARY.tokens))) * 2**20

    def start(self, values: Floats) -> State:
        return (values.sum(1),)

    def step(self, state: State, tokens: Integers) -> Floats:
        state[0][:] = (5 * state[0] + tokens) % 97
        return self.table[state[0].astype(np.int64)]


def codec(segmentation: Segmentation = SEGMENTATIONS[0]) -> LosslessCodec:
    return LosslessCodec(segmentation, VOCABULARY, Model())


def values(rows: int) -> Floats:
    return np.arange(2.0 * rows).reshape(rows, 2) % 7


def written(lines: list[bytes], segmentation: Segmentation) -> Sections:
    writer = codec(segmentation)
    planned = writer.plan(lines)
    return writer.encode(planned, values(sum(line.kind != RAW for line in planned)))


def read(sections: Sections, count: int, segmentation: Segmentation) -> list[bytes]:
    opened = codec(segmentation).open(sections, count)
    return opened.lines(values(len(opened.modelled)))


WORD = st.sampled_from([*WORDS, *MARKS, "The", "zyzzyva", "日本語", "é", "\u2028", "\0", "\x0c"])
SPACE = st.sampled_from([" ", "  ", "\t", "\r", "\u00a0", ""])
LIKELY = st.lists(st.tuples(WORD, SPACE), max_size=12).map(lambda p: "".join(a + b for a, b in p))
LINE = st.one_of(
    LIKELY.map(str.encode),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=30),
).map(lambda line: line.replace(b"\n", b""))


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
@settings(max_examples=30, deadline=None)
@given(lines=st.lists(LINE, max_size=6))
def test_any_lines_come_back(segmentation: Segmentation, lines: list[bytes]) -> None:
    assert read(written(lines, segmentation), len(lines), segmentation) == lines


KINDS = [
    (b"the man rides a horse .", PLAIN),
    (b"the man rides a zyzzyva .", PLAIN),
    (b"the man  rides a horse .\r", PATCHED),
    (b" the man", PATCHED),
    (b"<s> the <unk> man </s> <blank> rides dog", PLAIN),
    (b"", RAW),
    (b"  ", RAW),
    (b"the man \xff", RAW),
    (b"Ein Mann reitet the horse", RAW),
    (b"the man " * 600, RAW),
    (b"the " + b"x" * 600, RAW),
]


def test_kinds_of_lines() -> None:
    lines = [line for line, _ in KINDS]
    assert [line.kind for line in codec().plan(lines)] == [kind for _, kind in KINDS]
    assert read(written(lines, Whitespace()), len(lines), Whitespace()) == lines


def test_what_a_segmentation_drops_is_told_at_a_small_price() -> None:
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=12)) for _ in range(200)]
    plain = written([line.encode() for line in lines], LowerCase())
    assert len(plain.escapes) < 20  # hardly anything for lines that are all alike
    cased = written([line.capitalize().encode() + b"\r" for line in lines], LowerCase())
    assert len(cased.escapes) < len(lines)  # a byte a line
    assert cased.tokens == plain.tokens


@pytest.mark.parametrize("word", [b"\xff", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_word_that_is_no_text_is_refused(word: bytes) -> None:
    """No writer spells one, but a forged section may."""
    escapes, tokens = Writer(), Writer()
    AdaptiveSymbols(3, 3).code(escapes, PLAIN, PLAIN)
    Speller(map(str.encode, WORDS)).code(escapes, word)
    TokenCodec(Model(), VOCABULARY.begin, VOCABULARY.end).code(tokens, values(1), [[0]])
    sections = Sections(escapes.payload(), tokens.payload(), 0)
    with pytest.raises(DamagedBitstream, match="a word that is no UTF-8"):
        codec().open(sections, 1).lines(values(1))


def test_what_was_learned_carries_over() -> None:
    writer, reader = codec(), codec()
    parts = [[f"the quagga of number {i} sees the man .".encode()] * 3 for i in range(5)]
    sections = [writer.encode(writer.plan(part), values(3)) for part in parts]
    assert len(sections[-1].escapes) < len(sections[0].escapes)
    for part, section in zip(parts, sections, strict=True):
        assert reader.open(section, 3).lines(values(3)) == part


WRONG: list[Callable[[Sections], list[bytes]]] = [
    lambda s: codec().open(s, 2).lines(values(2) + 1),
    lambda s: codec(Reversed()).open(s, 2).lines(values(2)),
    lambda s: codec().open(s._replace(checksum=s.checksum ^ 1), 2).lines(values(2)),
]


@pytest.mark.parametrize("reading", WRONG)
def test_other_text_than_was_written_is_not_given_out(
    reading: Callable[[Sections], list[bytes]],
) -> None:
    sections = written([b"the man rides a horse .", b"a dog sees the man ."], LowerCase())
    assert read(sections, 2, LowerCase())
    with pytest.raises(BitstreamError):
        reading(sections)
    with pytest.raises(DamagedBitstream, match="not the one that was written"):
        WRONG[-1](sections)
