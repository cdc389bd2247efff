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
    """Return the number at a place of ``data``, and the place after it.

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


def pack_places(places: list[int]) -> bytes:
    """Return the bytes of rising non-negative integers."""
    before = [-1, *places]
    return b"".join(pack_number(b - a - 1) for a, b in zip(before, places, strict=False))


def read_places(data: bytes, count: int) -> list[int]:
    """Return the integers that ``data`` holds, all of them below ``count``.

    Raises:
        BitstreamError: if they are not, or ``data`` does not end with one.
    """
    places, at, place = [], 0, -1
    while at < len(data):
        gap, at = read_number(data, at)
        place += gap + 1
        if place >= count:
            raise DamagedBitstream(f"an empty line {place + 1} of {count}: expected it as written")
        places.append(place)
    return places
