"""Gosset's lattice E8 = D8 ∪ (D8 + (½, …, ½))."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from onmt_lattice.lattices.base import Kernel
from onmt_lattice.lattices.checkerboard import mend_parity, parity
from onmt_lattice.lattices.coding_order import CodingOrder, group_order
from onmt_lattice.lattices.convolution import CodeLattice, Over, halve
from onmt_lattice.lattices.registry import register_lattice


@register_lattice("E8")
class E8(CodeLattice):
    """E8: volume 1, shortest vectors of length √2.

    G = 929/12960, covering radius 1, kissing number 240: Conway & Sloane, SPLAG, chapters 4, 21.
    """

    name = "E8"
    dim = 8
    nsm = 929 / 12960
    kissing_number = 240
    unit_covering_radius = 1.0
    unit = 0.5
    period = 4

    def __init__(self) -> None:
        self.unit_basis = torch.eye(8, dtype=torch.float64) - torch.eye(8).roll(-1, 1)
        self.unit_basis[0] = 0
        self.unit_basis[0, 0] = 2
        self.unit_basis[-1] = 0.5

    def _decode(self, x: Tensor) -> Tensor:
        """Round to both cosets at once, and mend the parity of the nearer point alone.

        With a the distance to the nearest integer, ½ − a is that to the nearest half integer:
        the squared distances Σa² and Σ(½ − a)² differ by Σa − 2. If a rounded point has an odd
        sum, mending it adds 1 − 2 max a, or 2 min a in the coset of halves.
        """
        point, below = x.round(), x.floor()
        odd, odd_half = parity(point), parity(below)
        distance = (x - point).abs()
        mending = odd * (1 - 2 * distance.amax(0)) - 2 * odd_half * distance.amin(0)
        halves = (distance.sum(0) + mending > 2).to(x.dtype)
        return mend_parity(x, point.lerp(below + 0.5, halves), odd.lerp(odd_half, halves))

    def _kernel(self) -> Kernel:
        from onmt_lattice.lattices.kernels import decoders  # numba takes a while to import

        return decoders.e8

    def _weigh(self, residues: Tensor, over: Over) -> tuple[Tensor, Tensor]:
        """Return by parity and coset the weights of the halves, whose parities are equal."""
        return halve(residues.unflatten(0, (2, 2)), over)

    def _order(self) -> CodingOrder:
        return group_order(self.unit_basis.numpy(), np.full(8, 0.5))
