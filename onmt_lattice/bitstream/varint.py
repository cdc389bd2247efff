"""Non-negative integers in as few bytes as they need: seven bits a byte, the lower first.

A set eighth bit says that more follow.
"""

from __future__ import annotations

from onmt_lattice.errors import DamagedBitstream

LONGEST = 9  # bytes of a number


def pack_number(value: int) -> bytes:
    """Return the bytes of ``value``, from 0 to 2⁶³ − 1."""
    digits = []
    while value >= 128:
        digits.append(value % 128 + 128)
        value //= 128
    return bytes([*digits, value])


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a offset of ``data``, and the offset after it.

    Raises:
        DamagedBitstream: if ``data`` ends within it, or it does not end.
    """
    value = 0
    for i in range(LONGEST):
        if at + i >= len(data):
            raise DamagedBitstream("bytes that end within a number: expected all of them")
        digit = data[at + i]
        value += digit % 128 << 7 * i
        if digit < 128:
            return value, at + i + 1
    raise DamagedBitstream("a number that does not end: expected it as written")


def pack_offsets(offsets: list[int]) -> bytes:
    """Return the bytes of rising non-negative integers."""
    before = [-1, *offsets]
    return b"".join(pack_number(b - a - 1) for a, b in zip(before, offsets, strict=False))


def read_offsets(data: bytes, count: int) -> list[int]:
    """Return the integers that ``data`` holds, all of them below ``count``.

    Raises:
        BitstreamError: if they are not, or ``data`` does not end with one.
    """
    offsets, at, offset = [], 0, -1
    while at < len(data):
        gap, at = read_number(data, at)
        offset += gap + 1
        if offset >= count:
            raise DamagedBitstream(f"an empty line {offset + 1} of {count}: expected it as written")
        offsets.append(offset)
    return offsets
