"""The checkerboard lattices D_n and their duals D_n*.

D_n is the set of integer vectors whose sum is even; D_n* is ℤⁿ ∪ (ℤⁿ + (½, …, ½)).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from onmt_lattice.lattices.base import Kernel
from onmt_lattice.lattices.coding_order import CodingOrder, group_order
from onmt_lattice.lattices.convolution import CodeLattice, Over, halve
from onmt_lattice.lattices.registry import register_lattice
from onmt_lattice.lattices.trellis import Semiring, TrellisLattice


def parity(x: Tensor) -> Tensor:
    """Return ``(N,)`` 0 or 1, the parity of the sum over dim 0 of whole numbers, however large."""
    return 2 * (0.5 * x).frac().sum(0).frac().abs()


def mend_parity(x: Tensor, point: Tensor, odd: Tensor) -> Tensor:
    """Round the worst coordinate of ``x`` ``(n, N)`` the other way where ``odd`` ``(N,)`` is 1.

    Args:
        x: the numbers before rounding.
        point: the numbers after rounding, coordinate by coordinate.
        odd: whether the sum of ``point`` has the wrong parity.
    """
    error = x - point
    worst = error.abs().max(0).indices[None]
    step = torch.where(error.gather(0, worst) < 0, -odd, odd)
    return point.scatter_add(0, worst, step)


@register_lattice("D", "D4")
class Checkerboard(CodeLattice):
    """D_n, n ≥ 2: volume 2, shortest vectors of length √2 (D₂ is ℤ² turned, D₃ is fcc).

    G(D_n), covering radius and kissing number: Conway & Sloane, SPLAG, chapters 4 and 21.
    """

    unit = 1.0
    period = 2

    def __init__(self, n: int):
        self._set_family("D_n", n, min_dim=2)
        self.unit_basis = torch.eye(n, dtype=torch.float64) - torch.eye(n).roll(1, 1)
        self.unit_basis[-1] = 0
        self.unit_basis[-1, :2] = 1
        self.nsm = (1 / 12 + 1 / (2 * n * (n + 1))) * 4 ** (-1 / n)
        self.kissing_number = 2 * n * (n - 1)
        self.unit_covering_radius = max(1.0, math.sqrt(n) / 2)

    def _decode(self, x: Tensor) -> Tensor:
        """Round; where the sum is odd, round the worst coordinate the other way.

        Conway & Sloane, "Fast quantizing and decoding algorithms for lattice quantizers and
        codes" (1982), algorithm for D_n.
        """
        point = x.round()
        return mend_parity(x, point, parity(point))

    def _kernel(self) -> Kernel:
        from onmt_lattice.lattices.kernels import decoders  # numba takes a while to import

        return decoders.checkerboard

    def _weigh(self, residues: Tensor, over: Over) -> tuple[Tensor, Tensor]:
        """Return by parity the weights of the halves, whose parities are equal."""
        return halve(residues.unsqueeze(1), over)

    def _order(self) -> CodingOrder:
        return group_order(self.unit_basis.numpy(), np.ones(self.dim))


@register_lattice("D*", "D4*")
class DualCheckerboard(TrellisLattice):
    """D_n*, n ≥ 2: volume ½ (D₃* is bcc).

    Covering radius and kissing number: Conway & Sloane, SPLAG, chapter 4.
    """

    def __init__(self, n: int):
        self._set_family("D_n*", n, min_dim=2)
        self.unit_basis = torch.eye(n, dtype=torch.float64)
        self.unit_basis[-1] = 0.5
        self.nsm = float(1 / 12 - uniform_sum_deviation(n) / (4 * n)) * 4 ** (1 / n)
        self.kissing_number = {2: 4, 3: 8, 4: 24}.get(n, 2 * n)
        self.unit_covering_radius = math.sqrt(2 * n - n % 2) / 4

    def _decode(self, x: Tensor) -> Tensor:
        """Round to ℤⁿ; the other coset is ½ − |error| away, hence nearer if Σ|error| > n/4."""
        point = x.round()
        halves = ((x - point).abs().sum(0) > self.dim / 4).to(x.dtype)
        return point.lerp(x.floor() + 0.5, halves)

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        integers, halves = over.classes(y, log_s, (0.0, 0.5), 1.0)
        return over.add(integers.sum(-1), halves.sum(-1))

    def _order(self) -> CodingOrder:
        return group_order(self.unit_basis.numpy(), np.full(self.dim, 0.5))


def uniform_sum_deviation(n: int) -> Fraction:
    """Return E|S − n/2|, exactly, for S the sum of n independent uniforms on [0, 1].

    It gives G(D_n*): for x uniform on the cube |x_i| ≤ ½ the coset is nearer by
    (Σ|x_i| − n/4)⁺, so that the mean squared error is n/12 − E|S − n/2|/4.
    """
    mean = Fraction(n, 2)
    terms = (
        (-1) ** k * math.comb(n, k) * (mean - k) ** (n + 1) for k in range(math.ceil(mean))
    )  # E(n/2 − S)⁺ (n+1)!
    return 2 * sum(terms, Fraction(0)) / math.factorial(n + 1)
