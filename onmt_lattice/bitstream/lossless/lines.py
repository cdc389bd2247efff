"""Lines of bytes to symbols and back, byte for byte, most of them as a model's tokens.

A line is *plain* where its tokens give it back, *patched* where they nearly do
(:mod:`~.lossless.patches`), and *raw* where the model cannot help: no
UTF-8, no word, too long, or more unknown tokens than known ones. The kind is found by trying: the
writer undoes the tokens just as the reader will, so that whatever a pipeline drops is told. Unknown
tokens, and those that look like the vocabulary's own marks, are spelled out.

Two sections come of it. *Escapes* has the kinds of all lines, then for each line its unknown
tokens, its patch or its raw bytes; *tokens* has the tokens of all lines that are not raw. What is
learned from lines coded before carries over to the next ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from onmt_lattice.bitstream.coder import AdaptiveSymbols, Coder, Reader, Writer
from onmt_lattice.bitstream.exact import Floats
from onmt_lattice.bitstream.lossless.patches import Patcher, differences
from onmt_lattice.bitstream.lossless.spelling import Speller
from onmt_lattice.bitstream.lossless.tokens import LONGEST, TokenCodec, TokenModel
from onmt_lattice.errors import DamagedBitstream

PLAIN, PATCHED, RAW = range(3)
LONGEST_LINE = 2**13  # bytes of a line that is not raw
LONGEST_WORD = 2**9  # characters


class Segmentation(Protocol):
    """Between a line and its tokens."""

    def tokens(self, line: str) -> list[str]:
        """Return the tokens of ``line``; none where nothing is left of it."""
        ...

    def text(self, tokens: list[str]) -> str:
        """Return the line that ``tokens`` stand for."""
        ...


class Vocabulary(NamedTuple):
    """The tokens that a model knows.

    Attributes:
        tokens: V strings.
        unknown: the one that stands for all others.
        begin: that before a sentence.
        end: that behind it.
        padding: that which is in no sentence.
    """

    tokens: Sequence[str]
    unknown: int
    begin: int
    end: int
    padding: int

    @property
    def marks(self) -> frozenset[int]:
        """The indices that are no words."""
        return frozenset((self.unknown, self.begin, self.end, self.padding))


class Line(NamedTuple):
    """A line and how it is to be coded.

    Attributes:
        content: its bytes, without the line feed.
        kind: plain, patched or raw.
        tokens: none if it is raw.
        guess: the bytes that its tokens give.
    """

    content: bytes
    kind: int
    tokens: list[str]
    guess: bytes


class Sections(NamedTuple):
    """What lines are coded as.

    Attributes:
        escapes: the kinds of lines, and all that is spelled out.
        tokens: the tokens.
        checksum: a CRC-32 of the lines.
    """

    escapes: bytes
    tokens: bytes
    checksum: int


class LosslessCodec:
    """Codes the lines of one file, one way: what was coded before is learned from.

    Args:
        segmentation: between lines and tokens.
        vocabulary: the model's.
        model: gives the probabilities of tokens, given a representation of their line.
    """

    def __init__(
        self, segmentation: Segmentation, vocabulary: Vocabulary, model: TokenModel
    ) -> None:
        self.segmentation, self.vocabulary = segmentation, vocabulary
        self._codec = TokenCodec(model, vocabulary.begin, vocabulary.end)
        words = (w for i, w in enumerate(vocabulary.tokens) if i not in vocabulary.marks)
        self._indices = {w: i for i, w in enumerate(vocabulary.tokens) if i not in vocabulary.marks}
        self._kinds = AdaptiveSymbols(3, 3)
        self._speller = Speller(word.encode() for word in words)
        self._patcher = Patcher()

    def plan(self, lines: Sequence[bytes]) -> list[Line]:
        """Return how to code ``lines``, which have no line feeds in them."""
        return [self._planned(line) for line in lines]

    def _planned(self, content: bytes) -> Line:
        raw = Line(content, RAW, [], b"")
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return raw
        words = text.split()
        if not words or len(content) > LONGEST_LINE or max(map(len, words)) > LONGEST_WORD:
            return raw
        tokens = self.segmentation.tokens(text)
        known = sum(token in self._indices for token in tokens)
        if not 0 < len(tokens) <= min(LONGEST, 2 * known):
            return raw
        guess = self._guess(tokens)
        if guess == content:
            return Line(content, PLAIN, tokens, guess)
        return Line(content, PATCHED, tokens, guess) if near(content, guess) else raw

    def encode(self, lines: Sequence[Line], values: Floats) -> Sections:
        """Return the sections of ``lines``, given the representation of each that is not raw.

        Args:
            lines: as planned.
            values: ``(sentences, d)``.
        """
        escapes, tokens = Writer(), Writer()
        before = PLAIN
        for line in lines:
            before = self._kinds.code(escapes, before, line.kind)
        for line in lines:
            self._write(escapes, line)
        sentences = [[self._index(token) for token in line.tokens] for line in lines if line.tokens]
        self._codec.code(tokens, values, sentences)
        content = [line.content for line in lines]
        return Sections(escapes.payload(), tokens.payload(), checksum(content))

    def open(self, sections: Sections, count: int) -> Opened:
        """Return what ``count`` lines are, of which the kinds are known and the rest is not yet.

        Raises:
            BitstreamError: if the sections were not written for so many lines.
        """
        escapes = Reader(sections.escapes)
        kinds: list[int] = []
        for _ in range(count):
            kinds.append(self._kinds.code(escapes, kinds[-1] if kinds else PLAIN, None))
        return Opened(self, sections, escapes, kinds)

    def _write(self, coder: Coder, line: Line) -> None:
        """Write what tokens do not tell of a line."""
        if line.kind == RAW:
            self._speller.code(coder, line.content)
            return
        for token in line.tokens:
            if token not in self._indices:
                self._speller.code(coder, token.encode())
        if line.kind == PATCHED:
            self._patcher.code(coder, line.guess, line.content)

    def read(self, coder: Coder, kind: int, indices: Sequence[int]) -> bytes:
        """Return the line of a ``kind`` with tokens ``indices``, and the rest from ``coder``."""
        if kind == RAW:
            return self._speller.code(coder, None)
        guess = self._guess([self._token(coder, index) for index in indices])
        return guess if kind == PLAIN else self._patcher.code(coder, guess, None)

    def sentences(self, coder: Coder, values: Floats) -> list[list[int]]:
        """Return the indices of the tokens of each sentence, given ``values``."""
        return self._codec.code(coder, values, None)

    def _token(self, coder: Coder, index: int) -> str:
        if index != self.vocabulary.unknown:
            if index in self.vocabulary.marks:
                raise DamagedBitstream("a token that is no word: expected those written")
            return self.vocabulary.tokens[index]
        try:
            return self._speller.code(coder, None).decode()
        except UnicodeDecodeError as error:
            raise DamagedBitstream("a word that is no UTF-8: expected those written") from error

    def _index(self, token: str) -> int:
        return self._indices.get(token, self.vocabulary.unknown)

    def _guess(self, tokens: list[str]) -> bytes:
        return self.segmentation.text(tokens).encode()


class Opened:
    """Lines of which the kinds have been read.

    Attributes:
        modelled: the places of the lines that have a representation.
    """

    def __init__(
        self, codec: LosslessCodec, sections: Sections, escapes: Reader, kinds: list[int]
    ) -> None:
        self._codec, self._sections, self._escapes, self._kinds = codec, sections, escapes, kinds
        self.modelled = [place for place, kind in enumerate(kinds) if kind != RAW]

    def lines(self, values: Floats) -> list[bytes]:
        """Return the lines, given the representations ``(sentences, d)`` of those that have one.

        Raises:
            BitstreamError: if the sections are not as written, or the text not as it was.
        """
        tokens = Reader(self._sections.tokens)
        sentences = iter(self._codec.sentences(tokens, values))
        tokens.check_end()
        read = self._codec.read
        lines = [
            read(self._escapes, kind, [] if kind == RAW else next(sentences))
            for kind in self._kinds
        ]
        self._escapes.check_end()
        if checksum(lines) != self._sections.checksum:
            raise DamagedBitstream(
                "the text that came out is not the one that was written: expected the model, and "
                "the releases of its tokenisers, that it was written with"
            )
        return lines


def near(line: bytes, guess: bytes) -> bool:
    """Return whether a patch is worth its while: at least half of the line is copied."""
    return 2 * differences(line, guess) <= len(line)


def checksum(lines: Sequence[bytes]) -> int:
    """Return a CRC-32 of ``lines``."""
    return zlib.crc32(b"\n".join(lines))
