"""The container of a text: a header, and blocks of lines with sections of every kind.

    file     = header block+                  nothing behind the last block
    header   = "OLZ", version 1, fingerprint 4, layout 1, seed, lines, words, characters
    block    = section+ CRC-32 4
    section  = 2 · kind + (1 if it is the block's last, else 0), length, so many bytes

Numbers without a size are those of :mod:`~onmt_lattice.bitstream.varint`; others are little-endian
bytes. ``layout`` is 16 · mode + b: a block holds 2^b lines, the last one what remains, and there is
one block at least. A block's checksum is of the header and all sections up to its end, so that
blocks cannot change places or files. Kinds rise within a block.

A file is checked in whole, one block after another, before anything of it is decoded, and what it
declares is held against the bytes there are first: nothing is set aside for it.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from onmt_lattice.bitstream.varint import pack_number, read_number
from onmt_lattice.errors import (
    DamagedBitstream,
    NotABitstream,
    UserError,
    WrongCode,
)

MAGIC = b"OLZ"
VERSION = 1
FINGERPRINT = 4  # bytes
CHECKSUM = 4
SMALLEST_BLOCK = 2 + CHECKSUM
LARGEST_BLOCK = 2**15  # lines, whose logarithm has four bits


class Mode(IntEnum):
    """What of a text a file holds."""

    LOSSY = 0  # its representation
    LOSSLESS = 1  # every byte
    VECTORS = 2  # no text at all: the representation of vectors


UNITS = {  # what the lines, words and characters of a header count
    **dict.fromkeys((Mode.LOSSY, Mode.LOSSLESS), ("lines", "word", "character")),
    Mode.VECTORS: ("vectors", "number", "byte as float32"),
}


class Section(IntEnum):
    """A kind of section; a new one is a line here, and its number is never used again."""

    EMPTY = 0  # which lines of the block are empty
    POINTS = 1  # the representation of the others; of a lossless file, of lines that have one
    TOKENS = 2  # what the decoder has to be told, given that
    ESCAPES = 3  # what tokens do not tell
    TEXT = 4  # CRC-32 of the block's lines
    UNENDED = 5  # that the last line has no line feed
    CODEC = 6  # of a file of vectors, in its first block


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        fingerprint: of all that decoding needs and the file does not hold.
        mode: what of the text is in it.
        block_bits: b; a block has 2^b lines.
        seed: of the dither.
        lines, words, characters: of the text; words are those of ``text.joined``, characters are
            Unicode's, a line's end among them.
    """

    fingerprint: bytes
    mode: Mode
    block_bits: int
    seed: int
    lines: int
    words: int
    characters: int

    def pack(self) -> bytes:
        """Return the bytes of this header."""
        head = (
            MAGIC + bytes([VERSION]) + self.fingerprint + bytes([16 * self.mode + self.block_bits])
        )
        numbers = (self.seed, self.lines, self.words, self.characters)
        return head + b"".join(map(pack_number, numbers))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return max(1, -(-self.lines >> self.block_bits))

    def span(self, number: int) -> range:
        """Return the lines of block ``number``."""
        begin = number << self.block_bits
        return range(begin, min(self.lines, begin + (1 << self.block_bits)))


class FileWriter:
    """Puts a file together, block after block.

    Args:
        header: of the file.
    """

    def __init__(self, header: Header) -> None:
        self._parts = [header.pack()]
        self._digest = zlib.crc32(self._parts[0])

    def add(self, sections: dict[Section, bytes]) -> None:
        """Add the next block; there has to be a section."""
        last, body = max(sections), b""
        for kind in sorted(sections):
            payload = sections[kind]
            body += pack_number(2 * kind + (kind == last)) + pack_number(len(payload)) + payload
        self._digest = zlib.crc32(body, self._digest)
        self._parts += [body, self._digest.to_bytes(CHECKSUM, "little")]

    def data(self) -> bytes:
        """Return the bytes of the file."""
        return b"".join(self._parts)


class TextFile:
    """A file that was read and whose every checksum agrees.

    Args:
        data: all of its bytes.

    Attributes:
        header: what it says of itself.

    Raises:
        NotABitstream, DamagedBitstream: as they say.
    """

    def __init__(self, data: bytes) -> None:
        self.header, begin = _read_header(data)
        missing = self.header.blocks * SMALLEST_BLOCK - (len(data) - begin)
        if missing > 0:
            raise DamagedBitstream(
                f"a file of {self.header.lines} lines that lacks {missing} bytes or more: expected "
                "all of it"
            )
        self._data = data
        self._begins = array("Q", [begin])
        digest = zlib.crc32(data[:begin])
        for number in range(self.header.blocks):
            digest = self._check(number, digest)
        left = len(data) - self._begins[-1]
        if left:
            raise DamagedBitstream(f"a file with {left} bytes after its end: expected none")

    def block(self, number: int) -> dict[int, bytes]:
        """Return the sections of block ``number`` by kind, those of kinds unknown here as well."""
        return {kind: self._data[begin:end] for kind, begin, end in self._sections(number)}

    def bits(self) -> dict[str, int]:
        """Return the bits of each part; they sum to those of the file."""
        parts = Counter({"header": 8 * self._begins[0]})
        for number in range(self.header.blocks):
            for kind, begin, end in self._sections(number):
                parts[section_name(kind)] += 8 * (end - begin)
            parts["checksums"] += 8 * CHECKSUM
        parts["lengths"] = 8 * len(self._data) - parts.total()
        return dict(parts)

    def table(self) -> str:
        """Return what the file says of itself and where its bits go, for a terminal."""
        h, parts = self.header, self.bits()
        lines, words, characters = UNITS[h.mode]
        together = f"{1 << h.block_bits} {lines} a block" if h.block_bits else "each line alone"
        rows = [
            f"model {h.fingerprint.hex()}, {h.mode.name.lower()}, seed {h.seed}, {together}",
            f"{h.lines} {lines}, {h.words} {words}s, {h.characters} {characters}s: "
            f"{len(self._data)} bytes",
            "",
            f"{'':<12}{'bits':>12}{f'per {words}':>12}{f'per {characters}':>15}",
        ]
        for name, bits in {**parts, "in all": sum(parts.values())}.items():
            each = [bits / count if count else 0.0 for count in (h.words, h.characters)]
            rows.append(f"{name:<12}{bits:>12}{each[0]:>12.3f}{each[1]:>15.4f}")
        return "\n".join(rows)

    def _sections(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Yield the kind, the begin and the end of each section of a block."""
        at, last, before = self._begins[number], 0, -1
        while not last:
            code, at = read_number(self._data, at)
            length, at = read_number(self._data, at)
            kind, last = divmod(code, 2)
            if at + length > len(self._data):
                raise DamagedBitstream(
                    f"a file that lacks {at + length - len(self._data)} bytes or more of block "
                    f"{number + 1} of {self.header.blocks}: expected all of it"
                )
            if kind <= before:
                raise DamagedBitstream(f"sections out of order in block {number + 1}")
            yield kind, at, at + length
            at, before = at + length, kind

    def _check(self, number: int, digest: int) -> int:
        """Return the checksum of block ``number``, if it is that after one of ``digest``."""
        begin = self._begins[number]
        *_, (_, _, end) = self._sections(number)
        stored = self._data[end : end + CHECKSUM]
        if len(stored) < CHECKSUM:
            raise DamagedBitstream(
                f"a file that ends within block {number + 1} of {self.header.blocks}: expected all "
                "of it"
            )
        digest = zlib.crc32(memoryview(self._data)[begin:end], digest)
        if digest.to_bytes(CHECKSUM, "little") != stored:
            raise DamagedBitstream(
                f"block {number + 1} of a file has another checksum: expected it as written"
            )
        self._begins.append(end + CHECKSUM)
        return digest


def points_file(fingerprint: int, rows: int, numbers: int, payload: bytes) -> bytes:
    """Return a file of one block with the points of ``rows`` vectors, ``numbers`` in all.

    Raises:
        UserError: if a block has no room for as many.
    """
    if rows > LARGEST_BLOCK:
        raise UserError(f"{rows} rows: expected at most {LARGEST_BLOCK} in a file; write several")
    header = Header(
        fingerprint.to_bytes(FINGERPRINT, "little"),
        mode=Mode.VECTORS,
        block_bits=max(rows - 1, 0).bit_length(),
        seed=0,  # which the fingerprint is of
        lines=rows,
        words=numbers,
        characters=4 * numbers,
    )
    writer = FileWriter(header)
    writer.add({Section.POINTS: payload})
    return writer.data()


def points_of(data: bytes, fingerprint: int, rows: int) -> bytes:
    """Return the payload of the file ``data``, if it is one of this code and of so many vectors.

    Raises:
        BitstreamError: as :class:`TextFile`, and :class:`WrongCode`.
    """
    file = TextFile(data)
    of, own = int.from_bytes(file.header.fingerprint, "little"), f"{fingerprint:08x}"
    if file.header.mode != Mode.VECTORS or of != fingerprint:
        raise WrongCode(
            f"a file of the code {of:08x}, this is {own}: expected the lattice, scales, seed and "
            "sentences that it was written with"
        )
    payload = file.block(0).get(Section.POINTS)
    if file.header.lines != rows or payload is None:
        raise WrongCode(
            f"a file of {file.header.lines} rows: expected {rows}, one for each sentence"
        )
    return payload


def section_name(kind: int) -> str:
    """Return what ``inspect`` calls a section."""
    known = kind in Section._value2member_map_
    return Section(kind).name.lower().replace("_", " ") if known else f"section {kind}"


def _read_header(data: bytes) -> tuple[Header, int]:
    """Return the header of ``data``, and where it ends."""
    if not data or data[:3] != MAGIC[: len(data)]:
        raise NotABitstream(f"bytes that begin with {data[:4]!r}: expected a file, {MAGIC!r} …")
    if data[3:4] not in (b"", bytes([VERSION])):
        raise NotABitstream(f"a file of version {data[3]}: this release reads version {VERSION}")
    at = len(MAGIC) + 1 + FINGERPRINT
    layout, at = data[at : at + 1], at + 1
    numbers = []
    for _ in range(4):
        value, at = read_number(data, at)
        numbers.append(value)
    mode, block_bits = divmod(layout[0], 16)
    if mode not in Mode._value2member_map_:
        raise NotABitstream(f"a file of mode {mode}, which this release does not know; update it")
    fingerprint = data[len(MAGIC) + 1 : at][:FINGERPRINT]
    return Header(fingerprint, Mode(mode), block_bits, *numbers), at
