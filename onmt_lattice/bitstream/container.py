"""A block of a stream: what it is, what wrote it, how much of it there is, and a checksum.

    magic 3, version 1, fingerprint 4, rows 1–9, length 1–9, the payload, CRC-32 of all before 4

The fingerprint is of all that decoding needs and the block does not hold: a block of another code
is refused before any symbol is read. Integers are little-endian, rows and length as
:mod:`~onmt_lattice.bitstream.varint` has them.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from onmt_lattice.bitstream.errors import (
    AlteredBitstream,
    ExtendedBitstream,
    NotABitstream,
    TruncatedBitstream,
    WrongCode,
)
from onmt_lattice.bitstream.varint import pack_number, read_number

MAGIC = b"olz"
VERSION = 1


class Block(NamedTuple):
    """What a block holds.

    Attributes:
        fingerprint: a CRC-32 of the code.
        rows: number of sentences.
        payload: the symbols.
    """

    fingerprint: int
    rows: int
    payload: bytes


def pack(block: Block) -> bytes:
    """Return the bytes of ``block``."""
    head = MAGIC + bytes([VERSION]) + block.fingerprint.to_bytes(4, "little")
    body = head + pack_number(block.rows) + pack_number(len(block.payload)) + block.payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def unpack(data: bytes) -> Block:
    """Return the block that ``data`` is, the whole of it.

    Nothing is set aside for what ``data`` declares: its own length bounds what is read.

    Raises:
        NotABitstream, TruncatedBitstream, ExtendedBitstream, AlteredBitstream: as they say.
    """
    if data[:3] != MAGIC[: len(data)] or not data:
        raise NotABitstream(f"bytes that begin with {data[:4]!r}: expected a block, {MAGIC!r} …")
    if data[3:4] not in (b"", bytes([VERSION])):
        raise NotABitstream(f"a block of version {data[3]}: this release reads version {VERSION}")
    rows, at = read_number(data, 8)
    length, begin = read_number(data, at)
    missing = begin + length + 4 - len(data)
    if missing > 0:
        raise TruncatedBitstream(f"a block that lacks {missing} bytes: expected all of it")
    if missing < 0:
        raise ExtendedBitstream(f"a block with {-missing} bytes after its end: expected none")
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise AlteredBitstream("a block whose checksum does not agree: expected it as written")
    return Block(int.from_bytes(data[4:8], "little"), rows, data[begin:-4])


def checked(data: bytes, fingerprint: int, rows: int) -> bytes:
    """Return the payload of the block ``data`` if it is one of this code and of ``rows`` sentences.

    Raises:
        BitstreamError: as :func:`unpack`, and :class:`WrongCode`.
    """
    block = unpack(data)
    if block.fingerprint != fingerprint:
        raise WrongCode(
            f"a block of the code {block.fingerprint:08x}, this is {fingerprint:08x}: expected the "
            "lattice, scales, seed and sentences that it was written with"
        )
    if block.rows != rows:
        raise WrongCode(f"a block of {block.rows} rows: expected {rows}, one for each sentence")
    return block.payload
