"""Non-negative integers of variable length: seven bits per byte, the lowest bits first.

The eighth bit of a byte is set if more bytes follow.
"""

from __future__ import annotations

from onmt_lattice.errors import DamagedBitstream

MAX_BYTES = 9  # of a number


def pack_number(value: int) -> bytes:
    """Return the bytes of ``value``, from 0 to 2⁶³ − 1."""
    digits = []
    while value >= 128:
        digits.append(value % 128 + 128)
        value //= 128
    return bytes([*digits, value])


def read_number(data: bytes, offset: int) -> tuple[int, int]:
    """Return the number at ``offset`` in ``data``, and the offset after it.

    Raises:
        DamagedBitstream: if ``data`` ends within the number, or the number does not end.
    """
    value = 0
    for i in range(MAX_BYTES):
        if offset + i >= len(data):
            raise DamagedBitstream("bytes that end within a number: expected all of them")
        digit = data[offset + i]
        value += digit % 128 << 7 * i
        if digit < 128:
            return value, offset + i + 1
    raise DamagedBitstream("a number that does not end: expected it as written")


def pack_empty_lines(indices: list[int]) -> bytes:
    """Return the bytes of the rising ``indices`` of empty lines: the gaps between them."""
    previous = [-1, *indices]
    return b"".join(pack_number(b - a - 1) for a, b in zip(previous, indices, strict=False))


def read_empty_lines(data: bytes, count: int) -> list[int]:
    """Return the indices that ``data`` holds, each below the ``count`` of lines.

    Raises:
        BitstreamError: if an index is too large, or ``data`` ends within a number.
    """
    indices, offset, index = [], 0, -1
    while offset < len(data):
        gap, offset = read_number(data, offset)
        index += gap + 1
        if index >= count:
            raise DamagedBitstream(f"an empty line {index + 1} of {count}: expected it as written")
        indices.append(index)
    return indices
