"""The simplex lattices A_n, and the hexagonal A₂ among them.

A_n is the set of integer vectors of n + 1 coordinates whose sum is zero. Here it lives in ℝⁿ, in
the orthonormal frame h_j = (1, …, 1, −j, 0, …, 0)/√(j(j+1)), j = 1 … n (Helmert's). With partial
sums S_j = x_1 + … + x_j the j-th coordinate of a point is

    c_j / √(j(j+1)),  c_j = (j+1) S_j − j S_{j+1},

so that c_j ≡ S_j (mod j) and c_j ≡ S_{j+1} (mod j+1): any pair of residues determines
c_j mod j(j+1). The partial sums S_j mod j are therefore the states of a trellis, which ends in
S_{n+1} = 0. For A₂ its paths are the two rectangular cosets that make the hexagonal lattice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onmt_lattice.lattices.registry import register_lattice
from onmt_lattice.lattices.trellis import Semiring, TrellisLattice


def helmert_frame(n: int) -> Tensor:
    """Return ``(n, n + 1)`` float64: orthonormal rows, each orthogonal to (1, …, 1)."""
    frame = torch.zeros(n, n + 1, dtype=torch.float64)
    for j in range(1, n + 1):
        frame[j - 1, :j] = 1.0
        frame[j - 1, j] = -j
        frame[j - 1] /= math.sqrt(j * (j + 1))
    return frame


def section_classes(j: int) -> Tensor:
    """Return ``(j, j + 1)``: the c in [0, j(j+1)) with c ≡ row (mod j), c ≡ column (mod j+1)."""
    rows, columns = torch.arange(j)[:, None], torch.arange(j + 1)[None, :]
    return ((j + 1) * rows - j * columns) % (j * (j + 1))


@register_lattice("A", "A2", "A3")
class Simplex(TrellisLattice):
    """A_n: volume √(n+1), shortest vectors of length √2.

    G(A_n), covering radius and kissing number: Conway & Sloane, SPLAG, chapters 4 and 21.
    """

    def __init__(self, n: int):
        if n < 1:
            raise ValueError(f"lattice A_n: n is {n}; expected at least 1")
        self.name = f"A{n}"
        self.dim = n
        self._frame = helmert_frame(n)
        differences = torch.eye(n, n + 1).double() - torch.eye(n, n + 1).double().roll(1, -1)
        self.unit_basis = differences @ self._frame.T
        self.nsm = (1 / 12 + 1 / (6 * (n + 1))) * (n + 1) ** (-1 / n)
        self.kissing_number = n * (n + 1)
        half = (n + 1) // 2
        self.unit_covering_radius = math.sqrt(half * (n + 1 - half) / (n + 1))

    def _nearest(self, x: Tensor) -> Tensor:
        """Round in the n + 1 coordinates, then mend the sum where that costs least.

        Conway & Sloane, "Fast quantizing and decoding algorithms for lattice quantizers and
        codes" (1982), algorithm for A_n.
        """
        frame = self._frame.to(x)
        embedded = x @ frame
        rounded = embedded.round()
        excess = rounded.sum(-1, keepdim=True)
        rank = (embedded - rounded).argsort(dim=-1, stable=True).argsort(dim=-1)
        lower = (rank < excess).to(x.dtype)
        raise_ = (rank > self.dim + excess).to(x.dtype)
        return (rounded - lower + raise_) @ frame.T

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Fold S_1 → S_2 → … → S_{n+1} = 0."""
        return self._forward(y, log_s, over)[..., 0]

    def _forward(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Return ``(..., n + 1)``, the weight of the paths into each residue of S_{n+1}."""
        weights = y.new_zeros(1)
        for j in range(1, self.dim + 1):
            classes = section_classes(j).to(y) / (j * (j + 1))
            period = math.sqrt(j * (j + 1))
            at = y[..., j - 1, None, None] / period - classes
            edges = over.line(at, log_s[..., j - 1, None, None] - math.log(period))
            weights = over.total(weights[..., :, None] + edges, -2)
        return weights
