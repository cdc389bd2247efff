"""A lattice in place of the noise of a channel that was trained with the Gaussian's.

Nothing is trained anew: the prior N(b, diag v) of Y = μ + σ⊙N is that of the data, b = E μ and
v = Var μ + σ²; the coordinates are put into places by their signal-to-noise ratios; and the prior
scales of the lattice's code are fitted to y = (μ − b)/σ − U.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from onmt_lattice.bottlenecks.channel import (
    Channel,
    GaussianChannel,
    LatticeChannel,
)
from onmt_lattice.bottlenecks.lattice import AUTO, code_on, lattice_for
from onmt_lattice.errors import UserError
from onmt_lattice.noise import SentenceNoise

FIT_STEPS = 30
FIT_RATE = 0.15


class Quantization(NamedTuple):
    """A channel fitted to data, and what it costs there, in nats a row of the data.

    Attributes:
        channel: the channel with the lattice's noise.
        gaussian_nats: the rate of the Gaussian channel, its prior fitted to the same data.
        excess_nats: what the lattice costs more, of training's rate, which is that of codewords in
            expectation (Theorem 1); the dither's share in it is taken out where its mean is known.
        theory_nats: what it costs more on a Gaussian source of the same variances.
    """

    channel: Channel
    gaussian_nats: float
    excess_nats: float
    theory_nats: float


def quantize_gaussian(
    means: Tensor, sigma: Tensor, lattice: str, code: str = AUTO, seed: int = 0
) -> Quantization:
    """Return the channel that sends ``means`` by points of a lattice, not with Gaussian noise.

    For any Gaussian autoencoder whose noise does not depend on its input: what its decoder gets
    has the same mean and variance as before, ``channel.quantized(mean, noise).value``.

    Args:
        means: ``(rows, d)``, μ of training data.
        sigma: ``(d,)``, the standard deviations of the noise.
        lattice: name of the lattice.
        code: name of the code on its points.
        seed: of the dither that the prior scales are fitted with.

    Raises:
        UserError: if there are fewer than two rows, a number is not finite, or a σ not positive.
    """
    gaussian = fit_gaussian(means, sigma)
    channel, excess = put_lattice_in(gaussian, means, lattice, code, seed)
    source = _gaussian_source(gaussian, len(means), seed)
    _, theory = put_lattice_in(fit_gaussian(source, sigma), source, lattice, code, seed)
    return Quantization(channel, gaussian.rate_nats(means).mean().item(), excess, theory)


def fit_gaussian(means: Tensor, sigma: Tensor) -> GaussianChannel:
    """Return the Gaussian channel of noise ``sigma`` whose prior is fitted to ``means``.

    Args:
        means: ``(rows, d)``.
        sigma: ``(d,)``.

    Raises:
        UserError: as :func:`quantize_gaussian`.
    """
    if means.dim() != 2 or len(means) < 2 or sigma.shape != means.shape[1:]:
        raise UserError(
            f"means of shape {tuple(means.shape)} and sigma of {tuple(sigma.shape)}: expected "
            f"(rows, d) and (d,), with at least two rows to fit a prior to"
        )
    if not (means.isfinite().all() and sigma.isfinite().all() and (sigma > 0).all()):
        raise UserError("means and sigma: expected finite numbers, and every sigma above 0")
    channel = GaussianChannel(means.shape[1]).to(means)
    with torch.no_grad():
        channel.center.copy_(means.mean(0))
        channel.log_sigma.copy_(sigma.log())
        channel.log_prior.copy_(0.5 * (means.var(0) + sigma.square()).log())
    return channel


def put_lattice_in(
    gaussian: GaussianChannel, means: Tensor, lattice: str, code: str, seed: int
) -> tuple[LatticeChannel, float]:
    """Return ``gaussian`` with a lattice's noise, and what that costs more in nats a row.

    Args:
        gaussian: what :func:`fit_gaussian` returned.
        means: what it was fitted to.
        lattice: name of the lattice.
        code: name of the code on its points.
        seed: of the dither that the prior scales are fitted with.
    """
    made = lattice_for(lattice, gaussian.dim)
    channel = LatticeChannel(gaussian.dim, made, code_on(made, code)).to(means).eval()
    with torch.no_grad():
        channel.center.copy_(gaussian.center)
        channel.log_sigma.copy_(gaussian.log_sigma)
        channel.log_prior[: gaussian.dim] = gaussian.log_prior
        channel.place()
        if channel.code.name == "convolved_gaussian":  # whose prior is that of μ, not of Y
            silent = (2 * (gaussian.log_sigma - gaussian.log_prior)).exp()
            channel.log_prior[: gaussian.dim] += 0.5 * torch.log1p(-silent.clamp(max=1 - 1e-6))
    noise = SentenceNoise(seed, list(range(len(means))))
    y = channel.dithered(means, noise).detach()
    _fit_prior(channel, y, noise)
    with torch.no_grad():
        rate = channel.rate_nats(y, noise) - _known_noise(gaussian, channel, means, y)
        return channel, (rate - gaussian.rate_nats(means)).mean().item()


def _fit_prior(channel: LatticeChannel, y: Tensor, noise: SentenceNoise) -> None:
    """Fit the prior scales to ``y`` by Adam, its step falling to 0."""
    optimizer = torch.optim.Adam([channel.log_prior], FIT_RATE, betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, FIT_STEPS)
    for _ in range(FIT_STEPS):
        rate = channel.rate_nats(y, noise).mean()
        (channel.log_prior.grad,) = torch.autograd.grad(rate, [channel.log_prior])
        optimizer.step()
        schedule.step()
    channel.log_prior.grad = None


def _gaussian_source(gaussian: GaussianChannel, rows: int, seed: int) -> Tensor:
    """Return ``(rows, d)``, Gaussian means of the mean and variances that ``gaussian`` is for."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(rows, gaussian.dim, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        spread = (2 * gaussian.log_prior).exp() - (2 * gaussian.log_sigma).exp()
        return gaussian.center + normal.to(spread) * spread.clamp_min(0).sqrt()


def _known_noise(
    gaussian: GaussianChannel, channel: LatticeChannel, means: Tensor, y: Tensor
) -> Tensor:
    """Return ``(rows,)``, Σ (y² − x² − E U²) σ²/2v at x = (μ − b)/σ, y = x − U.

    A control variate: its mean over the dither is 0, and it explains most of the variance.
    """
    back = channel.coordinates(y).double()
    x = ((means - gaussian.center) / gaussian.log_sigma.exp()).double()
    moments = channel.coordinates(channel.lattice.second_moments.to(x).expand(1, *y.shape[1:]))
    weight = (2 * (gaussian.log_sigma - gaussian.log_prior).double()).exp()
    return (0.5 * weight * (back.square() - x.square() - moments)).sum(-1)
