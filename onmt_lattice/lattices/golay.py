"""The binary Golay code, from two Hamming codes of length eight.

Turyn's construction: of the extended Hamming code [8, 4, 4] take two versions H and H′ that share
only the constant words. The words (t + a | t + b | t + a + b), a and b in H, t in H′, are the
Golay code [24, 12, 8] (MacWilliams & Sloane, "The Theory of Error-Correcting Codes", chapter 18,
section 7.4).
"""

from __future__ import annotations

import torch
from torch import Tensor

# 1 + x + x³ and its reverse 1 + x² + x³, each with a parity bit, and two cyclic shifts; with the
# word of eight ones they generate H and H′.
HAMMING = torch.tensor(
    [[1, 1, 0, 1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 0, 0, 1], [0, 0, 1, 1, 0, 1, 0, 1]]
)
HAMMING_REVERSED = torch.tensor(
    [[1, 0, 1, 1, 0, 0, 0, 1], [0, 1, 0, 1, 1, 0, 0, 1], [0, 0, 1, 0, 1, 1, 0, 1]]
)


def span(generator: Tensor) -> Tensor:
    """Return ``(2^k, n)``, the words that the rows of ``generator`` ``(k, n)`` sum to modulo 2.

    Row i is in the sum if bit i of the index is set: the index of a sum is the XOR of indices.
    """
    bits = torch.arange(2 ** len(generator))[:, None] >> torch.arange(len(generator)) & 1
    return bits @ generator % 2


def golay_generator() -> Tensor:
    """Return ``(12, 24)`` rows that generate the Golay code, in reduced echelon form."""
    ones = torch.ones(1, 8, dtype=torch.int64)
    a, t = torch.cat([HAMMING, ones]), torch.cat([HAMMING_REVERSED, ones])
    zero = torch.zeros_like(a)
    rows = [torch.cat([a, zero, a], 1), torch.cat([zero, a, a], 1), torch.cat([t, t, t], 1)]
    return reduced_echelon(torch.cat(rows))


def reduced_echelon(rows: Tensor) -> Tensor:
    """Return ``rows`` of full rank, reduced modulo 2 to an identity at the pivots' columns."""
    rows = rows.clone()
    rank = 0
    for column in range(rows.shape[1]):
        pivots = rows[rank:, column].nonzero()
        if len(pivots) == 0:
            continue
        rows[[rank, rank + int(pivots[0])]] = rows[[rank + int(pivots[0]), rank]]
        others = rows[:, column].clone()
        others[rank] = 0
        rows ^= others[:, None] * rows[rank]
        rank += 1
        if rank == len(rows):
            break
    return rows
