"""Gosset's lattice E8 = D8 ∪ (D8 + (½, …, ½))."""

from __future__ import annotations

import torch
from torch import Tensor

from onmt_lattice.lattices.checkerboard import fold_parity, half_parity
from onmt_lattice.lattices.registry import register_lattice
from onmt_lattice.lattices.trellis import Semiring, TrellisLattice


@register_lattice("E8")
class E8(TrellisLattice):
    """E8: volume 1, shortest vectors of length √2.

    G = 929/12960, covering radius 1, kissing number 240: Conway & Sloane, SPLAG, chapters 4, 21.
    """

    name = "E8"
    dim = 8
    nsm = 929 / 12960
    kissing_number = 240
    unit_covering_radius = 1.0

    def __init__(self) -> None:
        self.unit_basis = torch.eye(8, dtype=torch.float64) - torch.eye(8).roll(-1, 1)
        self.unit_basis[0] = 0
        self.unit_basis[0, 0] = 2
        self.unit_basis[-1] = 0.5

    def _nearest(self, x: Tensor) -> Tensor:
        """Decode both cosets from one rounding, and build only the nearer point.

        With a the distance to the nearest integer, ½ − a is the distance to the nearest half
        integer. The squared distances Σa² and Σ(½ − a)² differ by Σa − 2; where the sum of a
        candidate is odd, its worst coordinate steps to the other side, for 1 − 2 max a or 2 min a.
        """
        x = x.T.contiguous()
        point = x.round()
        error = x - point
        distance = error.abs()
        toward = 0.5 - (error < 0).to(x.dtype)
        odd = half_parity(point)
        odd_half = (odd + 0.5 * toward.sum(0)).frac().abs()
        most, at_most = distance.max(0)
        least, at_least = distance.min(0)
        halves = 2 * odd * (1 - 2 * most) + distance.sum(0) > 2 + 4 * odd_half * least
        worst = torch.where(halves, at_least, at_most)[None]
        step = torch.where(halves, -4 * odd_half, 4 * odd) * toward.gather(0, worst)
        return (point + toward * halves).scatter_add(0, worst, step).T

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        classes = over.classes(y, log_s, (0.0, 0.5, 1.0, 1.5), 2.0)
        cosets = fold_parity(classes[:2], classes[2:], over.add)[0]
        return over.add(cosets[0], cosets[1])
