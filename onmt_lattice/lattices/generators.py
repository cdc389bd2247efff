"""The convolutional codes whose lattices are built in, and what their second moments are."""

from __future__ import annotations

from typing import NamedTuple


class Generators(NamedTuple):
    """The taps of an encoder, and the normalized second moment of its lattices.

    Attributes:
        q: the order of the field.
        taps: the two words of taps, newest input first.
        middle: G as n → ∞.
        edges: n·(G − middle), what the ends of a block add.
    """

    q: int
    taps: tuple[str, str]
    middle: float
    edges: float


def _octal(q: int, first: str, second: str, middle: float, edges: float) -> Generators:
    words = [f"{int(word, 8):b}" for word in (first, second)]
    return Generators(q, (words[0], words[1]), middle, edges)


GENERATORS = {
    2 ** (len(g.taps[0]) - 1): g
    for g in (
        _octal(2, "5", "7", 0.066598, 0.0570),
        _octal(2, "13", "17", 0.065275, 0.0679),
        _octal(2, "23", "35", 0.064342, 0.1016),
        _octal(2, "53", "75", 0.063606, 0.1206),
        _octal(2, "133", "171", 0.062916, 0.1139),
        _octal(2, "247", "371", 0.062458, 0.1212),
        _octal(2, "561", "753", 0.062072, 0.1284),
    )
}
