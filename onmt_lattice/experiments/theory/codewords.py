"""Lengths of codewords, and a search for the shortest."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from onmt_lattice.codes import make_code
from onmt_lattice.experiments.theory.experiments import batches
from onmt_lattice.lattices import Lattice
from onmt_lattice.noise import StreamNoise

# The convolved code draws 64 points of the cell for each point it codes.
BATCH = 1024


@torch.no_grad()
def codeword_bits(
    code: str, lattice: Lattice, log_s: Tensor | float, y: Tensor, generator: torch.Generator
) -> Tensor:
    """Return ``(N,)`` −log2 P(Ẑ = z | U = u) / n at y = z − u, in bits per dimension.

    Args:
        code: name of the code.
        lattice: Λ.
        log_s: log of the prior scales, ``(n,)`` or one for all.
        y: ``(N, n)``; any real points, as for the relaxed rate.
        generator: of the random numbers that the code needs, if any.
    """
    coder = make_code(code, lattice)
    scales = torch.as_tensor(log_s, dtype=torch.float64).expand(1, lattice.dim)
    noise = StreamNoise(generator)
    parts = y.split(list(batches(len(y), BATCH)))
    nats = torch.cat([-coder.log_prob(part[:, None], scales, noise)[:, 0] for part in parts])
    return nats / (lattice.dim * math.log(2))


def golden_section(f: Callable[[float], float], low: float, high: float, width: float) -> float:
    """Return where ``f``, falling and then rising, is least in [low, high], to within ``width``."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    f_left, f_right = f(left), f(right)
    while high - low > width:
        if f_left < f_right:
            high, right, f_right = right, left, f_left
            left = high - golden * (high - low)
            f_left = f(left)
        else:
            low, left, f_left = left, right, f_right
            right = low + golden * (high - low)
            f_right = f(right)
    return (low + high) / 2
