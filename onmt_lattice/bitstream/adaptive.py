"""Symbols whose distribution is learned from those coded before, in whole numbers."""

from __future__ import annotations

import numpy as np

from onmt_lattice.bitstream import kernels
from onmt_lattice.bitstream.coder import Coder

STEP = 32  # what an occurrence adds to a count
MOST = 2**15  # of all counts of a context; they are halved there, and the recent count more


class AdaptiveSymbols:
    """Codes symbols below ``size``, each in one of ``contexts``; all are alike at first.

    Args:
        contexts: number of contexts.
        size: number of symbols, 2 or more.
    """

    def __init__(self, contexts: int, size: int) -> None:
        self._counts = np.ones((contexts, size), dtype=np.int64)
        self._totals = [size] * contexts

    def code(self, coder: Coder, context: int, value: int | None) -> int:
        """Code ``value``, if there is one, and return it."""
        counts = self._counts[context]
        out = np.empty((1, len(counts)))
        kernels.frequencies(counts, out[0])
        given = None if value is None else np.array([value])
        found = int(coder.symbols(out, given)[0])
        counts[found] += STEP
        self._totals[context] += STEP
        if self._totals[context] > MOST:
            counts -= counts >> 1
            self._totals[context] = int(counts.sum())
        return found
