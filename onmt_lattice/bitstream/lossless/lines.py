"""Lines of bytes to symbols and back, byte for byte, most of them as a model's tokens.

A line is *plain* if its tokens reproduce it, *patched* if they nearly do
(:mod:`~.lossless.patches`), and *raw* if the model cannot help: invalid UTF-8, no words, too long,
or more unknown tokens than known ones. The writer decides by detokenizing as the reader will, so
that nothing a pipeline drops is lost. Unknown tokens, and tokens that look like the vocabulary's
own marks, are spelled out.

Lines are written as two sections. *Escapes* holds the kinds of all lines, then for each line its
unknown tokens, its patch or its raw bytes. *Tokens* holds the tokens of all lines that are not raw.
The adaptive models keep what they learn from one line to the next.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
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
    """Converts between a line and its tokens."""

    def tokens(self, line: str) -> list[str]:
        """Return the tokens of ``line``, which may be none."""
        ...

    def text(self, tokens: list[str]) -> str:
        """Return the line of ``tokens``."""
        ...


class Vocabulary(NamedTuple):
    """The vocabulary of a model.

    Attributes:
        tokens: V strings.
        unknown: index of the token for all unknown ones.
        begin: index of the token before a sentence.
        end: index of the token after a sentence.
        padding: index of the token that no sentence contains.
    """

    tokens: Sequence[str]
    unknown: int
    begin: int
    end: int
    padding: int

    @property
    def marks(self) -> frozenset[int]:
        """The indices of the tokens that are not words."""
        return frozenset((self.unknown, self.begin, self.end, self.padding))


class Line(NamedTuple):
    """A line and how to code it.

    Attributes:
        content: its bytes, without the line feed.
        kind: PLAIN, PATCHED or RAW.
        tokens: its tokens; none if it is raw.
        guess: the bytes of its tokens, detokenized.
    """

    content: bytes
    kind: int
    tokens: list[str]
    guess: bytes


class Sections(NamedTuple):
    """The coded form of lines.

    Attributes:
        escapes: the kinds of lines, and everything that is spelled out.
        tokens: the tokens.
        checksum: a CRC-32 of the lines.
    """

    escapes: bytes
    tokens: bytes
    checksum: int


class LosslessCodec:
    """Writes or reads the lines of one file, in order, and learns from them.

    Args:
        segmentation: converts between lines and tokens.
        vocabulary: that of the model.
        model: the probabilities of tokens, given a representation of their line.
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
        """Return how to code ``lines``, which contain no line feeds."""
        return [self._plan_line(line) for line in lines]

    def _plan_line(self, content: bytes) -> Line:
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
        pays = 2 * differences(content, guess) <= len(content)  # at least half of it is copied
        return Line(content, PATCHED, tokens, guess) if pays else raw

    def encode(self, lines: Sequence[Line], values: Floats) -> Sections:
        """Return the sections of ``lines``, given the representation of each that is not raw.

        Args:
            lines: from :meth:`plan`.
            values: ``(sentences, d)``.
        """
        escapes, tokens = Writer(), Writer()
        previous = PLAIN
        for line in lines:
            previous = self._kinds.code(escapes, previous, line.kind)
        for line in lines:
            self._write(escapes, line)
        sentences = [[self._index(token) for token in line.tokens] for line in lines if line.tokens]
        self._codec.code(tokens, values, sentences)
        content = [line.content for line in lines]
        return Sections(escapes.payload(), tokens.payload(), checksum(content))

    def decode(
        self, sections: Sections, count: int, values_of: Callable[[list[int]], Floats]
    ) -> list[bytes]:
        """Return the ``count`` lines of ``sections``.

        Args:
            sections: from :meth:`encode`.
            count: of the lines.
            values_of: returns the representations ``(sentences, d)`` of the lines at some offsets,
                those that are not raw.

        Raises:
            BitstreamError: if the sections were altered, were not written for so many lines, or the
                text differs from the one written.
        """
        escapes, tokens = Reader(sections.escapes), Reader(sections.tokens)
        kinds: list[int] = []
        for _ in range(count):
            kinds.append(self._kinds.code(escapes, kinds[-1] if kinds else PLAIN, None))
        values = values_of([offset for offset, kind in enumerate(kinds) if kind != RAW])
        sentences = iter(self._codec.code(tokens, values, None))
        tokens.check_end()
        lines = [
            self._read(escapes, kind, [] if kind == RAW else next(sentences)) for kind in kinds
        ]
        escapes.check_end()
        if checksum(lines) != sections.checksum:
            raise DamagedBitstream(
                "the text that came out is not the one that was written: expected the model, and "
                "the releases of its tokenisers, that it was written with"
            )
        return lines

    def _write(self, coder: Coder, line: Line) -> None:
        """Write all of a line but its kind and its known tokens."""
        if line.kind == RAW:
            self._speller.code(coder, line.content)
            return
        for token in line.tokens:
            if token not in self._indices:
                self._speller.code(coder, token.encode())
        if line.kind == PATCHED:
            self._patcher.code(coder, line.guess, line.content)

    def _read(self, coder: Coder, kind: int, indices: Sequence[int]) -> bytes:
        """Return the line of a ``kind`` with tokens ``indices``; read the rest from ``coder``."""
        if kind == RAW:
            return self._speller.code(coder, None)
        guess = self._guess([self._token(coder, index) for index in indices])
        return guess if kind == PLAIN else self._patcher.code(coder, guess, None)

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


def checksum(lines: Sequence[bytes]) -> int:
    """Return a CRC-32 of ``lines``."""
    return zlib.crc32(b"\n".join(lines))
