"""The paper's code: Ẑ = K(X̂ + U) with a Gaussian prior X̂."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onmt_lattice.codes.base import LatticeCode, register_code
from onmt_lattice.noise import Noise


def log1mexp(x: Tensor) -> Tensor:
    """Return log(1 − exp(−x)) for x > 0, without cancellation at either end."""
    small = x < math.log(2)
    # Each branch gets only arguments that are safe for it, also in the backward pass.
    near = torch.log(-torch.expm1(-torch.where(small, x, 1.0)))
    far = torch.log1p(-torch.exp(-torch.where(small, 1.0, x)))
    return torch.where(small, near, far)


def log_ndtr(x: Tensor) -> Tensor:
    """Return log Φ(x), elementwise, with a gradient that is accurate in the far tail.

    ``torch.special.log_ndtr`` has the same values, but computes its gradient as exp(−x²/2 − log Φ),
    which loses digits with x²: the error is 1 % at x = −10⁷, and at −10⁸ nothing is right.
    """
    tail = x < -1
    z = torch.where(tail, -x / math.sqrt(2), 1.0)
    below = torch.log(0.5 * torch.special.erfcx(z)) - z.square()
    above = torch.log1p(-0.5 * torch.erfc(torch.where(tail, 0.0, x) / math.sqrt(2)))
    return torch.where(tail, below, above)


def log_normal_interval(y: Tensor, log_s: Tensor, width: float) -> Tensor:
    """Return log P(|X̂ − y| < width/2) for X̂ ~ N(0, s²), elementwise.

    A difference of two normal CDFs, taken in the lower tail of −|y| as log Φ(β) + log(1 −
    exp(log Φ(α) − log Φ(β))): exact to rounding in both tails and for s near 0.
    """
    inverse_s = torch.exp(-log_s)
    upper = log_ndtr((width / 2 - y.abs()) * inverse_s)
    lower = log_ndtr((-width / 2 - y.abs()) * inverse_s)
    # The floor matters only if the interval is narrower than rounding (s > 10¹⁵ widths).
    return upper + log1mexp((upper - lower).clamp_min(1e-300))


@register_code
class ConvolvedGaussianCode(LatticeCode):
    """P(Ẑ = z | U = u) = P(K(X̂ + u) = z) with X̂ ~ N(0, diag s²).

    With y = z − u this is the integral of the prior over the Voronoi cell around y, or V ·
    f_{X̂−U}(y). On Z it is a difference of normal CDFs, **exact**. On any other lattice the cell
    is not a box, and the integral is estimated by the mean of the prior density at ``samples``
    points uniform on the cell. This is unbiased for the probability, so that its negative logarithm
    **over-states the rate in expectation**: an upper bound that tightens with ``samples``.
    """

    name = "convolved_gaussian"
    samples = 64

    def log_prob(self, y: Tensor, log_s: Tensor, noise: Noise) -> Tensor:
        """See :meth:`LatticeCode.log_prob`; ``noise`` is used on lattices other than Z."""
        y, log_s = y.double(), self._clamped(log_s)
        if self.lattice.dim == 1:
            return log_normal_interval(y, log_s, self.lattice.volume).sum(-1)
        return self._monte_carlo(y, log_s, noise)

    def _monte_carlo(self, y: Tensor, log_s: Tensor, noise: Noise) -> Tensor:
        batch, blocks, n = y.shape
        uniforms = noise.uniform(y, self.samples * blocks * n)
        v = self.lattice.dither(uniforms.view(batch, self.samples, blocks, n))
        squares = ((y.unsqueeze(1) + v) * torch.exp(-log_s)).square()
        log_density = -0.5 * squares - log_s - 0.5 * math.log(2 * math.pi)
        log_mean = torch.logsumexp(log_density.sum(-1), dim=1) - math.log(self.samples)
        return log_mean + math.log(self.lattice.volume)
