"""The checkerboard lattices D_n, their duals D_n*, and the parity fold both semirings share.

D_n is the set of integer vectors whose sum is even; D_n* is ℤⁿ ∪ (ℤⁿ + (½, …, ½)). Decoders take
points last, ``(n, N)``, so that reductions over coordinates run along whole rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from onmt_lattice.lattices.registry import register_lattice
from onmt_lattice.lattices.trellis import Semiring, TrellisLattice


def fold_parity(
    even: Tensor, odd: Tensor, add: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Fold log weights of the even and odd integers ``(..., n)`` into those of even and odd sums.

    The trellis of the single parity check, folded by halves: with ``torch.logaddexp`` it gives
    the sum over D_n and its odd coset, with ``torch.maximum`` the best point of each.
    """
    while (n := even.shape[-1]) > 1:
        half = n // 2
        e1, e2, e_rest = even.split([half, half, n - 2 * half], -1)
        o1, o2, o_rest = odd.split([half, half, n - 2 * half], -1)
        even, odd = add(e1 + e2, o1 + o2), add(e1 + o2, o1 + e2)
        if n % 2:
            even, odd = torch.cat([even, e_rest], -1), torch.cat([odd, o_rest], -1)
    return even[..., 0], odd[..., 0]


def half_parity(x: Tensor) -> Tensor:
    """Return ½ times the parity of the sum over dim 0 of integers ``(n, N)``, however large."""
    return (0.5 * x).frac().sum(0).frac().abs()


def nearest_even_sum(x: Tensor) -> Tensor:
    """Return the points of D_n nearest to ``x`` ``(n, N)``.

    Round; where the sum is odd, round the worst coordinate the other way (Conway & Sloane, 1982).
    """
    point = x.round()
    error = x - point
    worst = error.abs().max(0).indices[None]
    step = torch.where(error.gather(0, worst) < 0, -2.0, 2.0) * half_parity(point)
    return point.scatter_add(0, worst, step.to(point))


@register_lattice("D", "D4")
class Checkerboard(TrellisLattice):
    """D_n, n ≥ 2: volume 2, shortest vectors of length √2 (D₂ is ℤ² turned, D₃ is fcc).

    G(D_n), covering radius and kissing number: Conway & Sloane, SPLAG, chapters 4 and 21.
    """

    def __init__(self, n: int):
        if n < 2:
            raise ValueError(f"lattice D_n: n is {n}; expected at least 2")
        self.name = f"D{n}"
        self.dim = n
        self.unit_basis = torch.eye(n, dtype=torch.float64) - torch.eye(n).roll(1, 1)
        self.unit_basis[-1] = 0
        self.unit_basis[-1, :2] = 1
        self.nsm = (1 / 12 + 1 / (2 * n * (n + 1))) * 4 ** (-1 / n)
        self.kissing_number = 2 * n * (n - 1)
        self.unit_covering_radius = max(1.0, math.sqrt(n) / 2)

    def _nearest(self, x: Tensor) -> Tensor:
        return nearest_even_sum(x.T.contiguous()).T

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        even, odd = over.classes(y, log_s, (0.0, 1.0), 2.0)
        return fold_parity(even, odd, over.add)[0]


@register_lattice("D*", "D4*")
class DualCheckerboard(TrellisLattice):
    """D_n*, n ≥ 2: volume ½ (D₃* is bcc).

    Covering radius and kissing number: Conway & Sloane, SPLAG, chapter 4.
    """

    def __init__(self, n: int):
        if n < 2:
            raise ValueError(f"lattice D_n*: n is {n}; expected at least 2")
        self.name = f"D{n}*"
        self.dim = n
        self.unit_basis = torch.eye(n, dtype=torch.float64)
        self.unit_basis[-1] = 0.5
        self.nsm = float(1 / 12 - uniform_sum_deviation(n) / (4 * n)) * 4 ** (1 / n)
        self.kissing_number = {2: 4, 3: 8, 4: 24}.get(n, 2 * n)
        self.unit_covering_radius = math.sqrt(2 * n - n % 2) / 4

    def _nearest(self, x: Tensor) -> Tensor:
        """Round to ℤⁿ; the coset is ½ − |error| away, nearer where Σ|error| > n/4."""
        x = x.T.contiguous()
        point = x.round()
        error = x - point
        nearer = (error.abs().sum(0) > self.dim / 4).to(x.dtype)
        return (point + (0.5 - (error < 0).to(x.dtype)) * nearer).T

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        integers, halves = over.classes(y, log_s, (0.0, 0.5), 1.0)
        return over.add(integers.sum(-1), halves.sum(-1))


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
