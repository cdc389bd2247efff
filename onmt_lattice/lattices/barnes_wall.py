"""The Barnes-Wall lattice BW16 = (1/√2)(2·D16 + RM(1, 4)).

RM(1, 4) is the first-order Reed-Muller code: 32 words, built by four steps of (u | u + v), v one
of the constant words. A point of 2·D16 + c has coordinates c_i + 2k_i with Σ k_i even: at each
coordinate, a number modulo 4 gives a bit c_i and the parity of k_i.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from onmt_lattice.lattices.checkerboard import Checkerboard
from onmt_lattice.lattices.coding_order import CodingOrder, group_order
from onmt_lattice.lattices.convolution import CodeLattice, Over, join
from onmt_lattice.lattices.registry import register_lattice
from onmt_lattice.lattices.trellis import MAX


def reed_muller_words(m: int) -> Tensor:
    """Return ``(2^(m+1), 2^m)`` int64, the words of RM(1, m).

    The bits of a word's index are u of the first step of (u | u + v), then v of each step. This is
    the order in which :func:`~onmt_lattice.lattices.convolution.join` weighs the words.
    """
    words = torch.tensor([[0], [1]])
    for _ in range(m):
        words = torch.stack([words.repeat(1, 2), torch.cat([words, 1 - words], 1)], 1).flatten(0, 1)
    return words


@register_lattice("BW16")
class BarnesWall16(CodeLattice):
    """BW16: volume 16, shortest vectors of length 2.

    Covering radius and kissing number: Conway & Sloane, SPLAG, chapter 4, section 10. G: table 2.3
    there, a simulation; six million points of this decoder gave 0.068298 ± 0.000004.
    """

    name = "BW16"
    dim = 16
    nsm = 0.068299
    kissing_number = 4320
    unit_covering_radius = math.sqrt(3)
    unit = math.sqrt(1 / 2)
    period = 4
    decode_block = 2048
    theta_block = 2048

    def __init__(self) -> None:
        self._checkerboard = Checkerboard(16)
        self.unit_basis = self._integer_basis() * self.unit

    def _integer_basis(self) -> Tensor:
        """Return rows of the code at its information positions 0, 1, 2, 4, 8, and of 2·D16."""
        basis = 2 * torch.eye(16, dtype=torch.float64)
        basis[:, 15] -= 2
        basis[15, 15] = 4
        position = torch.arange(16)
        basis[0] = 1
        for k in range(4):
            basis[2**k] = position // 2**k % 2
        return basis

    def _make_tables(self) -> tuple[Tensor, ...]:
        return (reed_muller_words(4).T.float().contiguous(),)

    def _weigh(self, residues: Tensor, over: Over) -> tuple[Tensor, Tensor]:
        """Return by parity and word the weights of the halves, by the butterfly of the code."""
        weights = residues.unflatten(0, (2, 2)).unsqueeze(2)  # (parity, bit, 1, 16, N)
        while weights.shape[3] > 2:
            joined = join(weights[:, :, :, 0::2], weights[:, :, :, 1::2], over)
            weights = joined.transpose(2, 3).flatten(2, 3)  # (parity, u, words, coordinates, N)
        left, right = weights.unsqueeze(3).unbind(4)
        right = torch.cat([right, right.flip(1)], 3)  # (parity, u, words, v, N)
        return left.expand_as(right).flatten(0, 3), right.flatten(0, 3)

    def _decode(self, x: Tensor) -> Tensor:
        """Find the nearest coset by the weights, and decode in it."""
        x = x / self.unit
        left, right = self._weigh(self._distances(x), MAX)
        nearest = (left + right).max(0).indices % 32
        word = self._tables(x.device)[0].index_select(1, nearest)
        return (word + 2 * self._checkerboard._decode((x - word) / 2)) * self.unit

    def _order(self) -> CodingOrder:
        return group_order(self.unit_basis.numpy(), np.full(16, self.unit))
