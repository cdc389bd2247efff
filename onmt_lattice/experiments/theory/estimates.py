"""Monte-Carlo means with their standard errors, and the lengths of codewords they are taken of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from onmt_lattice.codes import make_code
from onmt_lattice.lattices import Lattice
from onmt_lattice.noise import StreamNoise

BLOCK = 48  # coordinates: the least number that all six lattices divide
CODE_BATCH = 1024  # the convolved code draws 64 points of the cell for each point it codes


class Estimate(NamedTuple):
    """A mean over independent samples, and its standard error."""

    mean: float
    standard_error: float

    def affine(self, factor: float, offset: float = 0.0) -> Estimate:
        """Return the estimate of factor · value + offset."""
        return Estimate(factor * self.mean + offset, abs(factor) * self.standard_error)

    def errors_from(self, value: float) -> float:
        """Return how many standard errors the mean lies above ``value``."""
        apart = self.mean - value
        if self.standard_error > 0:
            return apart / self.standard_error
        return math.copysign(math.inf if apart else 0.0, apart)

    def text(self, form: str) -> str:
        """Return mean ± standard error, to two digits of the error whatever ``form``."""
        error = self.standard_error
        decimals = max(0, 1 - int(f"{error:.1e}".split("e")[1])) if error > 0 else 4
        return f"{self.mean:.{decimals}f} ± {error:.{decimals}f}"

    def json(self) -> dict[str, Any]:
        """Return both numbers by name."""
        return self._asdict()


def estimate(values: Tensor, controls: Tensor | None = None) -> Estimate:
    """Return the mean of independent ``values`` ``(N,)``, N at least 2.

    ``controls`` ``(N, k)`` are control variates, of expectation 0. The part of the values that is
    linear in them is subtracted, by least squares: the expectation stays (up to O(1/N), as the
    coefficients are fitted to the same samples) and the standard error falls.
    """
    values = values.double()
    if controls is not None:
        controls = controls.double()
        apart = controls - controls.mean(0)
        fitted = torch.linalg.lstsq(apart, (values - values.mean())[:, None], driver="gelsd")
        values = values - (controls @ fitted.solution).squeeze(1)
    return Estimate(values.mean().item(), values.std().item() / math.sqrt(len(values)))


def points_of_blocks(blocks: int, lattice: Lattice) -> int:
    """Return the number of points of ``lattice`` in ``blocks`` of 48 coordinates, at least two.

    So that each lattice has as many coordinates, and much the same standard error.
    """
    return max(2, blocks * BLOCK // lattice.dim)


@torch.no_grad()
def codeword_bits(
    code: str, lattice: Lattice, log_s: Tensor | float, y: Tensor, generator: torch.Generator
) -> Tensor:
    """Return ``(N,)`` −log2 P(Ẑ = z | U = u) / n at y = z − u, in bits per dimension.

    ``log_s`` is the log of the prior scales, ``(n,)`` or one for all; ``y`` ``(N, n)`` may be any
    real points, as for the relaxed rate.
    """
    coder = make_code(code, lattice)
    scales = torch.as_tensor(log_s, dtype=torch.float64).expand(1, lattice.dim)
    noise = StreamNoise(generator)
    parts = [coder.log_prob(part[:, None], scales, noise)[:, 0] for part in y.split(CODE_BATCH)]
    return -torch.cat(parts) / (lattice.dim * math.log(2))


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
