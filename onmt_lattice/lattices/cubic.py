"""The cubic lattice ℤⁿ."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from onmt_lattice.lattices.base import Kernel
from onmt_lattice.lattices.coding_order import CodingOrder, group_order
from onmt_lattice.lattices.registry import register_lattice
from onmt_lattice.lattices.trellis import Semiring, TrellisLattice


@register_lattice("Z")
class Cubic(TrellisLattice):
    """ℤⁿ, by default the integers themselves."""

    nsm = 1 / 12

    def __init__(self, n: int = 1):
        self._set_family("Z" if n == 1 else "Z_n", n, min_dim=1)
        self.unit_basis = torch.eye(n, dtype=torch.float64)
        self.kissing_number = 2 * n
        self.unit_covering_radius = math.sqrt(n) / 2

    def _decode(self, x: Tensor) -> Tensor:
        return x.round()

    def _kernel(self) -> Kernel:
        from onmt_lattice.lattices.kernels import decoders  # numba takes a while to import

        return decoders.cubic

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        return over.line(y, log_s).sum(-1)

    def _order(self) -> CodingOrder:
        return group_order(self.unit_basis.numpy(), np.ones(self.dim))
