"""The container of a text or of vectors: a header, and blocks of lines made of sections.

    file     = header block+                  nothing after the last block
    header   = "OLZ", version 1, fingerprint 4, layout 1, seed, lines, words, characters
    block    = section+ CRC-32 4
    section  = 2 · kind + (1 if it is the block's last, else 0), length, bytes

Numbers without a size are those of :mod:`~onmt_lattice.bitstream.varint`; others are little-endian
bytes. ``layout`` is 16 · mode + b: a block holds 2^b lines, the last block those that remain. A
file has at least one block. A block's checksum covers the header and all sections up to the end of
the block, so that blocks cannot be reordered or moved to another file. Kinds rise within a block.

The whole file is checked, block after block, before any of it is decoded. Declared lengths are
compared with the bytes present, so that a false length reserves no memory.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from numbers import Integral

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
    """What a file holds."""

    LOSSY = 0  # the representation of a text
    LOSSLESS = 1  # every byte of a text
    VECTORS = 2  # the representation of vectors


class Section(IntEnum):
    """A kind of section; a new kind is a line here, and its number is never used again."""

    EMPTY = 0  # the indices of the block's empty lines
    POINTS = 1  # the representation of the other lines; in a lossless file, of lines not raw
    TOKENS = 2  # the tokens of those lines, given their representation
    ESCAPES = 3  # what is missing from the tokens: see lossless.lines
    TEXT = 4  # CRC-32 of the block's lines
    UNENDED = 5  # present if the last line has no line feed
    CODEC = 6  # the codec of a file of vectors, in its first block


@dataclass(frozen=True)
class Header:
    """The header of a file.

    Attributes:
        fingerprint: that of everything that decoding needs and the file does not hold.
        mode: what the file holds.
        block_bits: b; a block has 2^b lines.
        seed: that of the dither.
        lines, words, characters: numbers of them in the text; words are those of ``text.joined``,
            characters are Unicode's, line ends included.
    """

    fingerprint: bytes
    mode: Mode
    block_bits: int
    seed: int
    lines: int
    words: int
    characters: int

    def pack(self) -> bytes:
        """Return the bytes of this header.

        Raises:
            UserError: if no file can hold the seed.
        """
        if not isinstance(self.seed, Integral) or not 0 <= self.seed < 2**63:
            raise UserError(f"seed {self.seed}: expected an integer from 0 to 2⁶³ − 1")
        head = (
            MAGIC + bytes([VERSION]) + self.fingerprint + bytes([16 * self.mode + self.block_bits])
        )
        numbers = (self.seed, self.lines, self.words, self.characters)
        return head + b"".join(map(pack_number, numbers))

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return max(1, -(-self.lines >> self.block_bits))

    def span(self, number: int) -> range:
        """Return the lines of block ``number``."""
        begin = number << self.block_bits
        return range(begin, min(self.lines, begin + (1 << self.block_bits)))


class FileWriter:
    """Writes a file, block after block.

    Args:
        header: that of the file.
    """

    def __init__(self, header: Header) -> None:
        self._parts = [header.pack()]
        self._digest = zlib.crc32(self._parts[0])

    def add(self, sections: dict[Section, bytes]) -> None:
        """Add the next block, of at least one section."""
        last, body = max(sections), b""
        for kind in sorted(sections):
            payload = sections[kind]
            body += pack_number(2 * kind + (kind == last)) + pack_number(len(payload)) + payload
        self._digest = zlib.crc32(body, self._digest)
        self._parts += [body, self._digest.to_bytes(CHECKSUM, "little")]

    def data(self) -> bytes:
        """Return the bytes of the file."""
        return b"".join(self._parts)


class FileReader:
    """A file, of text or vectors, whose checksums have all been checked.

    Args:
        data: the bytes of the whole file.

    Attributes:
        header: that of the file.

    Raises:
        NotABitstream: if ``data`` is no such file, or one of another version or mode.
        DamagedBitstream: if it is incomplete or altered.
    """

    def __init__(self, data: bytes) -> None:
        self.header, begin = _read_header(data)
        missing = self.header.blocks * SMALLEST_BLOCK - (len(data) - begin)
        if missing > 0:
            raise DamagedBitstream(f"a file that lacks {missing} bytes or more: expected all of it")
        self._data = data
        self._begins = array("Q", [begin])
        digest = zlib.crc32(data[:begin])
        for number in range(self.header.blocks):
            digest = self._check(number, digest)
        excess = len(data) - self._begins[-1]
        if excess:
            raise DamagedBitstream(f"a file with {excess} bytes after its end: expected none")

    def block(self, number: int) -> dict[int, bytes]:
        """Return the sections of block ``number`` by kind, unknown kinds included."""
        return {kind: self._data[begin:end] for kind, begin, end in self._sections(number)}

    def bits(self) -> dict[str, int]:
        """Return the bits of each part by name; they sum to the bits of the file."""
        parts = Counter({"header": 8 * self._begins[0]})
        for number in range(self.header.blocks):
            for kind, begin, end in self._sections(number):
                parts[section_name(kind)] += 8 * (end - begin)
            parts["checksums"] += 8 * CHECKSUM
        parts["lengths"] = 8 * len(self._data) - parts.total()
        return dict(parts)

    def table(self) -> str:
        """Return the header and the bits of each part as a table for a terminal."""
        h, parts = self.header, self.bits()
        lines, words, characters = "lines", "word", "character"
        if h.mode == Mode.VECTORS:
            lines, words, characters = "vectors", "number", "float32 byte"
        block_size = f"{1 << h.block_bits} {lines} per block" if h.block_bits else "each line alone"
        rows = [
            f"model {h.fingerprint.hex()}, {h.mode.name.lower()}, seed {h.seed}, {block_size}",
            f"{h.lines} {lines}, {h.words} {words}s, {h.characters} {characters}s: "
            f"{len(self._data)} bytes",
            "",
            f"{'':<12}{'bits':>12}{f'per {words}':>12}{f'per {characters}':>18}",
        ]
        for name, bits in {**parts, "in all": sum(parts.values())}.items():
            ratios = [bits / count if count else 0.0 for count in (h.words, h.characters)]
            rows.append(f"{name:<12}{bits:>12}{ratios[0]:>12.3f}{ratios[1]:>18.4f}")
        return "\n".join(rows)

    def _sections(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Yield kind, begin and end of each section of a block."""
        offset, last, previous = self._begins[number], 0, -1
        while not last:
            code, offset = read_number(self._data, offset)
            length, offset = read_number(self._data, offset)
            kind, last = divmod(code, 2)
            if offset + length > len(self._data):
                raise DamagedBitstream(
                    f"a file that lacks {offset + length - len(self._data)} bytes or more of block "
                    f"{number + 1} of {self.header.blocks}: expected all of it"
                )
            if kind <= previous:
                raise DamagedBitstream(
                    f"sections out of order in block {number + 1}: expected rising kinds"
                )
            yield kind, offset, offset + length
            offset, previous = offset + length, kind

    def _check(self, number: int, digest: int) -> int:
        """Check block ``number`` after checksum ``digest``; return the checksum up to its end."""
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
                f"damaged: block {number + 1} does not agree with its checksum; copy or download "
                "it again"
            )
        self._begins.append(end + CHECKSUM)
        return digest


def points_file(fingerprint: int, rows: int, numbers: int, payload: bytes) -> bytes:
    """Return a file of one block with the points of ``rows`` vectors, ``numbers`` in all.

    Raises:
        UserError: if a block cannot hold so many rows.
    """
    if rows > LARGEST_BLOCK:
        raise UserError(f"{rows} rows: expected at most {LARGEST_BLOCK} in a file; write several")
    header = Header(
        fingerprint.to_bytes(FINGERPRINT, "little"),
        mode=Mode.VECTORS,
        block_bits=max(rows - 1, 0).bit_length(),
        seed=0,  # the fingerprint covers it
        lines=rows,
        words=numbers,
        characters=4 * numbers,
    )
    writer = FileWriter(header)
    writer.add({Section.POINTS: payload})
    return writer.data()


def points_of(data: bytes, fingerprint: int, rows: int) -> bytes:
    """Return the points in the file ``data``, which has to be of this code and of ``rows`` vectors.

    Raises:
        BitstreamError: as :class:`FileReader`; :class:`WrongCode` if the file is of another code.
    """
    file = FileReader(data)
    stored = int.from_bytes(file.header.fingerprint, "little")
    if file.header.mode != Mode.VECTORS or stored != fingerprint:
        raise WrongCode(
            f"a file of the code {stored:08x}, this is {fingerprint:08x}: expected the lattice, "
            "scales, seed and sentences that it was written with"
        )
    payload = file.block(0).get(Section.POINTS)
    if file.header.lines != rows or payload is None:
        raise WrongCode(
            f"a file of {file.header.lines} rows: expected {rows}, one for each sentence"
        )
    return payload


def section_name(kind: int) -> str:
    """Return the name of a section in the table of ``inspect``."""
    return Section(kind).name.lower() if kind in set(Section) else f"section {kind}"


def _read_header(data: bytes) -> tuple[Header, int]:
    """Return the header of ``data``, and the offset of its end."""
    if not data or data[:3] != MAGIC[: len(data)]:
        raise NotABitstream(
            f"begins with {data[:4]!r}: expected what compress or pack writes, {MAGIC!r} …"
        )
    if data[3:4] not in (b"", bytes([VERSION])):
        raise NotABitstream(f"a file of version {data[3]}: this release reads version {VERSION}")
    offset = len(MAGIC) + 1 + FINGERPRINT
    layout, offset = data[offset : offset + 1], offset + 1
    numbers = []
    for _ in range(4):
        value, offset = read_number(data, offset)
        numbers.append(value)
    mode, block_bits = divmod(layout[0], 16)
    if mode not in set(Mode):
        raise NotABitstream(f"a file of mode {mode}, which this release does not know; update it")
    fingerprint = data[len(MAGIC) + 1 :][:FINGERPRINT]
    return Header(fingerprint, Mode(mode), block_bits, *numbers), offset
