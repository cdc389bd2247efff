"""Sources of dither and Gaussian noise: one stream in training, one per sentence in evaluation.

In evaluation the noise is part of the code: encoder and decoder must draw the same, and a sentence
must get the same in every batch. So it is a function of a seed and the sentence's index alone, by
a counter-based generator (Philox; Salmon et al., 2011), computed in float64 on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Noise(Protocol):
    """A source of independent noise for the sentences of one batch."""

    def uniform(self, like: Tensor, dim: int) -> Tensor:
        """Return ``(batch, dim)`` uniforms in [0, 1), with the device and dtype of ``like``."""

    def normal(self, like: Tensor, dim: int) -> Tensor:
        """Return ``(batch, dim)`` standard normals, with the device and dtype of ``like``."""


def require_keys(name: str, values: Iterable[object]) -> None:
    """Raise ``ValueError`` unless all ``values`` are integers, valid as keys of a generator."""
    for value in values:
        if not isinstance(value, int | np.integer) or not 0 <= value < 2**64:
            raise ValueError(f"{name} {value}: expected an integer in [0, 2⁶⁴)")


class StreamNoise:
    """Noise from a running torch generator (the global one by default), for training."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def uniform(self, like: Tensor, dim: int) -> Tensor:
        """See :class:`Noise`."""
        return like.new_empty(len(like), dim).uniform_(generator=self.generator)

    def normal(self, like: Tensor, dim: int) -> Tensor:
        """See :class:`Noise`."""
        return like.new_empty(len(like), dim).normal_(generator=self.generator)


class SentenceNoise:
    """Noise that depends only on ``seed`` and each sentence's index, for evaluation.

    Each sentence has a stream, which successive calls continue: equal calls in equal order give a
    sentence equal noise in any batch.

    Args:
        seed: a non-negative integer below 2⁶⁴.
        indices: of the sentences in their text, one for each row of the batch.
    """

    def __init__(self, seed: int, indices: list[int] | Tensor) -> None:
        rows = indices.tolist() if isinstance(indices, Tensor) else indices
        require_keys("noise seed", [seed])
        require_keys("sentence index", rows)
        self.streams = [
            np.random.Generator(np.random.Philox(key=np.array([seed, row], dtype=np.uint64)))
            for row in rows
        ]

    def _float64(self, like: Tensor, dim: int) -> Tensor:
        if len(like) != len(self.streams):
            raise ValueError(
                f"noise of {len(self.streams)} sentences: expected as many rows, got {len(like)}"
            )
        rows = [stream.random(dim) for stream in self.streams]
        return torch.from_numpy(np.stack(rows) if rows else np.empty((0, dim)))

    def uniform(self, like: Tensor, dim: int) -> Tensor:
        """See :class:`Noise`; a number that a narrower dtype rounds up to 1 becomes 0."""
        return self._float64(like, dim).to(like).remainder(1)

    def normal(self, like: Tensor, dim: int) -> Tensor:
        """See :class:`Noise`; by inversion of the normal CDF."""
        # The middles of the intervals of 2⁻⁵³; the last would round to 1.
        middles = (self._float64(like, dim) + 2.0**-54).clamp_max(1 - 2.0**-53)
        return torch.special.ndtri(middles).to(like)
