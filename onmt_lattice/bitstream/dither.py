"""Dither that encoder and decoder share, to the last bit.

It is uniform on a grid of 2²⁰ steps per unit in the box Π_i [0, P_i), P_i the period of a
coordinate. The lattice contains Π_i P_i·ℤ, so that this dither is uniform modulo the lattice, as
the paper's is. A code on a lattice depends on z − u alone, so u need not be folded into the Voronoi
cell: K(x + u) moves by the same lattice vector as u.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onmt_lattice.bitstream.logarithms import UNIT, Integers
from onmt_lattice.noise import require_keys


@dataclass(frozen=True)
class DitherKey:
    """The seed and the indices that determine the dither of some sentences.

    Attributes:
        seed: a non-negative integer below 2⁶⁴.
        indices: positions of the sentences in their text.
    """

    seed: int
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        require_keys("seed", [self.seed])
        require_keys("sentence index", self.indices)

    def steps(self, count: int) -> Integers:
        """Return ``(sentences, count)`` integers uniform in [0, 2²⁰).

        They are the leading bits of the uniforms of :class:`~onmt_lattice.noise.SentenceNoise`,
        from the raw words of Philox, which numpy keeps the same in all versions.
        """
        steps = np.empty((len(self.indices), count), dtype=np.int64)
        for row, index in zip(steps, self.indices, strict=True):
            philox = np.random.Philox(key=np.array([self.seed, index], dtype=np.uint64))
            row[:] = philox.random_raw(count) >> np.uint64(64 - UNIT)
        return steps
