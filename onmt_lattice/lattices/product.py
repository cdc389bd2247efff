"""Products of copies of one lattice."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onmt_lattice.lattices.base import Lattice


class ProductLattice(Lattice):
    """Λ × … × Λ, ``copies`` times: each block of coordinates is a point of Λ."""

    def __init__(self, factor: Lattice, copies: int):
        if not 1 <= copies <= self.max_dim // factor.dim:
            raise ValueError(
                f"{copies} copies of {factor.name}: expected a number from 1 to "
                f"{self.max_dim // factor.dim}, at most {self.max_dim} dimensions"
            )
        self.factor = factor
        self.copies = copies
        self.name = f"{factor.name}^{copies}"
        self.dim = factor.dim * copies
        self.nsm = factor.nsm
        if factor.kissing_number is not None:
            self.kissing_number = factor.kissing_number * copies
        if factor.covering_radius is not None:
            self.unit_covering_radius = factor.covering_radius * math.sqrt(copies)
        self.unit_basis = torch.block_diag(*[factor.basis] * copies)

    @property
    def volume(self) -> float:
        """Volume V of a Voronoi cell."""
        return (self.factor.volume * self.scale**self.factor.dim) ** self.copies

    @property
    def second_moments(self) -> Tensor:
        """See :attr:`Lattice.second_moments`."""
        return self.factor.second_moments.repeat(self.copies) * self.scale**2

    def dither(self, uniforms: Tensor) -> Tensor:
        """See :meth:`Lattice.dither`."""
        self._check(uniforms)
        return self.factor.dither(self._blocks(uniforms)).flatten(-2) * self.scale

    def _coordinates(self, x: Tensor) -> Tensor:
        return self.factor._coordinates(self._blocks(x.double() / self.scale)).flatten(-2)

    def point(self, coordinates: Tensor) -> Tensor:
        """See :meth:`Lattice.point`."""
        self._check(coordinates)
        return self.factor.point(self._blocks(coordinates)).flatten(-2) * self.scale

    def _nearest(self, x: Tensor) -> Tensor:
        return self.factor.nearest_point(self._blocks(x)).flatten(-2)

    def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        return self.factor.log_theta(self._blocks(y), self._blocks(log_s)).sum(-1)

    def _blocks(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.copies, self.factor.dim))


def innermost(lattice: Lattice) -> tuple[Lattice, float]:
    """Return the factor of a product of any depth, or ``lattice`` itself, and its total scale."""
    scale = lattice.scale
    while isinstance(lattice, ProductLattice):
        lattice = lattice.factor
        scale *= lattice.scale
    return lattice, scale
