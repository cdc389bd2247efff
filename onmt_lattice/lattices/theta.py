"""One-dimensional theta sums in the log domain, to machine precision at every scale.

The sum over the integers is one of two series: the direct one for small s, and that of Poisson's
formula for large s. They meet at s = 1/√(2π), where both converge equally fast, and each needs
three pairs of terms. A class of integers (even, odd, offset + period·ℤ) is the same sum at another
point and scale.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
LOG_CROSSING = -HALF_LOG_2PI  # log of the scale at which both series lose e^{-16π} < 2e-22


def log_theta_line(y: Tensor, log_s: Tensor) -> Tensor:
    """Return log Σ_{k ∈ ℤ} exp(−(y − k)² / 2s²), elementwise with broadcasting.

    Exact up to floating point, differentiable (twice) in both arguments, and finite with finite
    gradients wherever s² and 1/s² are finite numbers of the dtype: |log s| ≤ 40 in float32.
    """
    r = y - y.round()
    return torch.where(log_s < LOG_CROSSING, _direct(r, log_s), _dual(r, log_s))


def log_theta_class(y: Tensor, log_s: Tensor, offset: Tensor | float, period: float) -> Tensor:
    """Return log of the sum over k ∈ offset + period·ℤ of exp(−(y − k)² / 2s²)."""
    return log_theta_line((y - offset) / period, log_s - math.log(period))


def log_peak_line(y: Tensor, log_s: Tensor) -> Tensor:
    """Return −min_{k ∈ ℤ} (y − k)² / 2s²: the log of the largest term of the sum."""
    return -0.5 * ((y - y.round()) * (-log_s).exp()).square()


def _direct(r: Tensor, log_s: Tensor) -> Tensor:
    """Sum the terms k = −3 … 3 at |r| ≤ ½; the k-th is aᵏ (ab)^{k(k−1)/2} relative to k = 0."""
    precision = 0.5 * (-2 * log_s.clamp(max=LOG_CROSSING)).exp()
    a = ((2 * r - 1) * precision).exp()
    b = ((-2 * r - 1) * precision).exp()
    ab, total = a * b, a + b
    squares = total * total - 2 * ab
    cubes = total * (squares - ab)
    return torch.log1p(total + ab * (squares + ab * ab * cubes)) - r.square() * precision


def _dual(r: Tensor, log_s: Tensor) -> Tensor:
    """Sum √(2π)s·(1 + 2 Σ_j q^{j²} cos 2πjr), j = 1 … 3, q = exp(−2π²s²), as a cubic in cos."""
    log_s = log_s.clamp(min=LOG_CROSSING)
    q = (-2 * math.pi**2 * (2 * log_s).exp()).exp()
    c = (2 * math.pi * r).cos()
    q3 = q * q * q
    waves = c + q3 * ((2 * c * c - 1) + q3 * q * q * c * (4 * c * c - 3))
    return torch.log1p(2 * q * waves) + log_s + HALF_LOG_2PI
