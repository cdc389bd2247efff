"""The simplex lattices A_n, the hexagonal A₂ among them, and their duals A_n*.

A_n is the set of integer vectors of n + 1 coordinates whose sum is zero. Here it lives in ℝⁿ, in
the orthonormal frame h_j = (1, …, 1, −j, 0, …, 0)/√(j(j+1)), j = 1 … n (Helmert's). With partial
sums S_j = x_1 + … + x_j the j-th coordinate of a point is

    c_j / √(j(j+1)),  c_j = (j+1) S_j − j S_{j+1},

so that c_j ≡ S_j (mod j) and c_j ≡ S_{j+1} (mod j+1): each pair of residues determines
c_j mod j(j+1). The partial sums S_j mod j are therefore the states of a trellis, with one path
for each of the n! rectangular cosets that make A_n: for A₂, two. In A_n the trellis ends in
S_{n+1} = 0; in its dual A_n*, the projection of ℤⁿ⁺¹, in any state.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from onmt_lattice.lattices.base import Kernel
from onmt_lattice.lattices.checkerboard import Checkerboard
from onmt_lattice.lattices.coding_order import CodingOrder, group_order
from onmt_lattice.lattices.registry import register_lattice
from onmt_lattice.lattices.trellis import Semiring, TrellisLattice


@cache
def section_classes(j: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return ``(j, j + 1)``: c/j(j+1) in [0, 1) for c ≡ row (mod j), c ≡ column (mod j+1)."""
    rows, columns = torch.arange(j)[:, None], torch.arange(j + 1)[None, :]
    classes = ((j + 1) * rows - j * columns) % (j * (j + 1))
    return (classes.double() / (j * (j + 1))).to(device, dtype)


def section_edges(y: Tensor, log_s: Tensor, j: int, over: Semiring) -> Tensor:
    """Return ``(..., j, j + 1)``, the weights at coordinate j of each S_j and S_{j+1}."""
    period = math.sqrt(j * (j + 1))
    offset = y[..., j - 1, None, None] / period - section_classes(j, y.dtype, y.device)
    return over.line(offset, log_s[..., j - 1, None, None] - math.log(period))


def embed(x: Tensor) -> Tensor:
    """Return ``(n + 1, N)``: points ``(n, N)`` of the Helmert frame in the n + 1 coordinates."""
    j = torch.arange(1, len(x) + 1, dtype=x.dtype, device=x.device)[:, None]
    x = x / (j * (j + 1)).sqrt()
    zero = torch.zeros_like(x[:1])
    return torch.cat([partial_sums(x.flip(0)).flip(0), zero]) - torch.cat([zero, j * x])


def project(x: Tensor) -> Tensor:
    """Return ``(n, N)``: the coordinates of ``x`` ``(n + 1, N)`` in the Helmert frame."""
    j = torch.arange(1, len(x), dtype=x.dtype, device=x.device)[:, None]
    return (partial_sums(x[:-1]) - j * x[1:]) / (j * (j + 1)).sqrt()


def partial_sums(x: Tensor) -> Tensor:
    """Return ``x.cumsum(0)``, summed in order: CUDA has no deterministic algorithm for it."""
    return torch.stack(list(accumulate(x)))


def ranks(x: Tensor) -> Tensor:
    """Return for each entry its rank among its column of ``x`` ``(m, N)``, from 0; ties in order.

    For few rows comparing all pairs is two to three times faster than sorting twice.
    """
    rank = torch.zeros_like(x)
    for j in range(len(x)):
        rank[: j + 1] += x[j] < x[: j + 1]
        rank[j + 1 :] += x[j] <= x[j + 1 :]
    return rank


class _HelmertLattice(TrellisLattice):
    """The common part of A_n and A_n*: the frame, and the trellis of partial sums."""

    max_dim = 256  # the trellis has about n³/3 edges

    def __init__(self, family: str, n: int):
        self._set_family(family, n, min_dim=1)
        self.chunk = max(64, min(self.chunk, 2**17 // (n * (n + 1))))  # the widest section's edges

    def _residues(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Return ``(..., n + 1)``, the weight of the paths into each residue of S_{n+1}."""
        weights = y.new_zeros(1)
        for j in range(1, self.dim + 1):
            weights = over.total(weights[..., :, None] + section_edges(y, log_s, j, over), -2)
        return weights


def helmert_order(basis: Tensor, closed: bool) -> CodingOrder:
    """Return the coding order of A_n or A_n* with ``basis``: the partial sums, the last one first.

    The integers are c_1, …, c_n; in A_n, where S_{n+1} = 0 (``closed``), the last is c_n/(n + 1).
    """
    j = np.arange(1, len(basis) + 1)
    units = 1 / np.sqrt(j * (j + 1))
    units[-1] *= len(basis) + 1 if closed else 1
    return group_order(basis.numpy(), units, chain=True)


@register_lattice("A", "A2", "A3")
class Simplex(_HelmertLattice):
    """A_n: volume √(n+1), shortest vectors of length √2 (A₂ is hexagonal, A₃ is fcc).

    G(A_n), covering radius and kissing number: Conway & Sloane, SPLAG, chapters 4 and 21.
    """

    def __init__(self, n: int):
        super().__init__("A_n", n)
        axes = torch.eye(n + 1, dtype=torch.float64)
        self.unit_basis = project(axes[:, :n] - axes[:, 1:]).T
        self.nsm = (1 / 12 + 1 / (6 * (n + 1))) * (n + 1) ** (-1 / n)
        self.kissing_number = n * (n + 1)
        half = (n + 1) // 2
        self.unit_covering_radius = math.sqrt(half * (n + 1 - half) / (n + 1))
        self._checkerboard = Checkerboard(2)

    def _decode(self, x: Tensor) -> Tensor:
        """Round in the n + 1 coordinates, then mend the sum where that costs least.

        Conway & Sloane, "Fast quantizing and decoding algorithms for lattice quantizers and
        codes" (1982), algorithm for A_n.
        """
        embedded = embed(x)
        rounded = embedded.round()
        excess = rounded.sum(0)
        rank = ranks(embedded - rounded)
        lower = (rank < excess).to(x.dtype)
        higher = (rank > self.dim + excess).to(x.dtype)
        return project(rounded - lower + higher)

    def _kernel(self) -> Kernel:
        from onmt_lattice.lattices.kernels import decoders  # numba takes a while to import

        return decoders.simplex

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Fold S_1 → S_2 → … → S_{n+1} = 0."""
        return self._residues(y, log_s, over)[..., 0]

    def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        """See :meth:`Lattice.log_theta`; A₂ is D₂, stretched along the axes by √½ and √(3/2)."""
        if self.dim != 2:
            return super()._log_theta(y, log_s)
        stretch = y.new_tensor([0.5, 1.5]).sqrt()
        return self._checkerboard._log_theta(y / stretch, log_s - stretch.log())

    def _order(self) -> CodingOrder:
        return helmert_order(self.unit_basis, closed=True)


@register_lattice("A*", "A3*")
class DualSimplex(_HelmertLattice):
    """A_n*, the projection of ℤⁿ⁺¹ along (1, …, 1): volume 1/√(n+1) (A₃* is bcc).

    Covering radius and kissing number: Conway & Sloane, SPLAG, chapter 4.
    """

    def __init__(self, n: int):
        super().__init__("A_n*", n)
        self.unit_basis = project(torch.eye(n + 1, n, dtype=torch.float64)).T
        self.nsm = permutohedron_moment(n + 1) * (n + 1) ** (1 / n - 2) / n
        self.kissing_number = 2 * n + 2 if n > 1 else 2
        self.unit_covering_radius = math.sqrt(n * (n + 2) / (12 * (n + 1)))

    def _decode(self, x: Tensor) -> Tensor:
        """Round in the n + 1 coordinates; try raising the 0, 1, …, n with the largest errors.

        Adding one number to all coordinates does not move the projection, so the nearest point is
        one of these n + 1 (McKilliam, Clarkson & Quinn, 2008).
        """
        embedded = embed(x)
        rounded = embedded.round()
        error = embedded - rounded
        rank = ranks(-error)
        sorted_error = torch.empty_like(error).scatter_(0, rank.long(), error)
        raised = torch.arange(self.dim + 1, dtype=x.dtype, device=x.device)[:, None]
        shift = (error.sum(0) - raised).square() / (self.dim + 1)
        cost = raised - 2 * (partial_sums(sorted_error) - sorted_error) - shift
        return project(rounded + (rank < cost.min(0).indices))

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Fold S_1 → S_2 → … → S_{n+1}, with any last state."""
        return over.total(self._residues(y, log_s, over), -1)

    def _order(self) -> CodingOrder:
        return helmert_order(self.unit_basis, closed=False)


@cache
def permutohedron_moment(m: int) -> float:
    """Return E‖U‖² for U uniform on the permutohedron of (0, 1, …, m − 1), about its centre.

    That is the Voronoi cell of m·A*_{m−1}. Its facets are products of the permutohedra of k and
    m − k letters, C(m, k) of them at the distance √(k(m−k)m)/2; the pyramids over them make up
    the whole (the recursion over facets of Conway & Sloane, SPLAG, chapter 21). With the volumes
    m^{m−2}√m every weight is rational.
    """
    moment = 0.0
    for k in range(1, m):
        height2 = k * (m - k) * m / 4
        weight = math.comb(m, k) * k ** (k - 1) * (m - k) ** (m - k - 1) / (2 * m ** (m - 2))
        moment += weight * (height2 + permutohedron_moment(k) + permutohedron_moment(m - k))
    return moment / (m + 1)
