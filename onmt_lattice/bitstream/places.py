"""Which lines of a block are empty: the gaps between them, as numbers."""

from __future__ import annotations

from onmt_lattice.bitstream.errors import AlteredBitstream
from onmt_lattice.bitstream.varint import pack_number, read_number


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
            raise AlteredBitstream(f"an empty line {place + 1} of {count}: expected it as written")
        places.append(place)
    return places
