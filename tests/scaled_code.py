"""A code with the prior scales it is tested at."""

from __future__ import annotations

import torch
from torch import Tensor

from onmt_lattice.codes import LatticeCode, make_code
from onmt_lattice.lattices import Lattice, make_lattice
from onmt_lattice.noise import Noise


def unit(name: str) -> Lattice:
    """Return a lattice at the scale of the bottleneck: its dither has second moment 1."""
    return make_lattice(name).with_second_moment(1.0)


class ScaledCode:
    """The code ``name`` on ``blocks`` points of ``lattice``, at ``log_scale`` (0 by default)."""

    def __init__(
        self, name: str, lattice: Lattice, log_scale: Tensor | float = 0.0, blocks: int = 1
    ) -> None:
        self.code: LatticeCode = make_code(name, lattice)
        scales = torch.as_tensor(log_scale, dtype=torch.float64)
        self.log_scale = scales.expand(blocks, lattice.dim).clone().requires_grad_()

    def log_prob(self, y: Tensor, noise: Noise) -> Tensor:
        return self.code.log_prob(y, self.log_scale, noise)
