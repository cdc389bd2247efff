"""Replace the noise of a trained Gaussian channel by the dither of a lattice.

The model is not trained again. The prior N(b, diag v) of Y = μ + σ⊙N is that of the data, b = E μ
and v = Var μ + σ². The coordinates are sorted by their signal-to-noise ratios. The prior scales of
the lattice's code are fitted to y = (μ − b)/σ − U.
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
    """A channel fitted to data, and its costs on them, in nats per row of the data.

    Attributes:
        channel: the channel with the lattice's noise.
        gaussian_nats: the rate of the Gaussian channel, its prior fitted to the same data.
        excess_nats: the additional cost of the lattice, by the rate of training, which is that of
            codewords in expectation (Theorem 1); a control variate reduces the dither's variance.
        theory_nats: the additional cost on a Gaussian source of the same variances.
    """

    channel: Channel
    gaussian_nats: float
    excess_nats: float
    theory_nats: float


def quantize_gaussian(
    means: Tensor, sigma: Tensor, lattice: str, code: str = AUTO, seed: int = 0
) -> Quantization:
    """Return the channel that sends ``means`` as points of a lattice, without Gaussian noise.

    For any Gaussian autoencoder whose noise does not depend on its input. The decoder's input,
    ``channel.quantized(mean, noise).value``, has the same mean and variance as before.

    Args:
        means: ``(rows, d)``, μ of training data.
        sigma: ``(d,)``, standard deviations of the noise.
        lattice: name of the lattice.
        code: name of the code on its points.
        seed: that of the dither for fitting the prior scales.

    Raises:
        UserError: if there are fewer than two rows, a number is not finite, or a σ not positive.
    """
    gaussian = fit_gaussian(means, sigma)
    channel, excess = with_lattice_noise(gaussian, means, lattice, code, seed)
    source = _gaussian_source(gaussian, len(means), seed)
    _, theory = with_lattice_noise(fit_gaussian(source, sigma), source, lattice, code, seed)
    return Quantization(channel, gaussian.rate_nats(means).mean().item(), excess, theory)


def fit_gaussian(means: Tensor, sigma: Tensor) -> GaussianChannel:
    """Return the Gaussian channel with noise ``sigma`` and a prior fitted to ``means``.

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


def with_lattice_noise(
    gaussian: GaussianChannel, means: Tensor, lattice: str, code: str, seed: int
) -> tuple[LatticeChannel, float]:
    """Return ``gaussian`` with a lattice's noise, and its additional cost in nats per row.

    Args:
        gaussian: the result of :func:`fit_gaussian`.
        means: the data it was fitted to.
        lattice: name of the lattice.
        code: name of the code on its points.
        seed: that of the dither for fitting the prior scales.
    """
    of_dim = lattice_for(lattice, gaussian.dim)
    channel = LatticeChannel(gaussian.dim, of_dim, code_on(of_dim, code)).to(means).eval()
    with torch.no_grad():
        channel.center.copy_(gaussian.center)
        channel.log_sigma.copy_(gaussian.log_sigma)
        channel.log_prior[: gaussian.dim] = gaussian.log_prior
        channel.sort_coordinates()
        if channel.code.name == "convolved_gaussian":  # its prior is that of μ, not of Y
            noise_share = (2 * (gaussian.log_sigma - gaussian.log_prior)).exp()
            channel.log_prior[: gaussian.dim] += 0.5 * torch.log1p(-noise_share.clamp(max=1 - 1e-6))
    noise = SentenceNoise(seed, list(range(len(means))))
    y = channel.dithered(means, noise).detach()
    _fit_prior(channel, y, noise)
    with torch.no_grad():
        rate = channel.rate_nats(y, noise) - _control_variate(gaussian, channel, means, y)
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
    """Return ``(rows, d)``, Gaussian means with the mean and variances of ``gaussian``'s data."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(rows, gaussian.dim, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        variances = (2 * gaussian.log_prior).exp() - (2 * gaussian.log_sigma).exp()
        return gaussian.center + normal.to(variances) * variances.clamp_min(0).sqrt()


def _control_variate(
    gaussian: GaussianChannel, channel: LatticeChannel, means: Tensor, y: Tensor
) -> Tensor:
    """Return ``(rows,)``, Σ (y² − x² − E U²) σ²/2v at x = (μ − b)/σ, y = x − U.

    Its mean over the dither is 0, and it explains most of the variance.
    """
    y_coordinates = channel.from_blocks(y).double()
    x = ((means - gaussian.center) / gaussian.log_sigma.exp()).double()
    moments = channel.from_blocks(channel.lattice.second_moments.to(x).expand(1, *y.shape[1:]))
    weight = (2 * (gaussian.log_sigma - gaussian.log_prior).double()).exp()
    return (0.5 * weight * (y_coordinates.square() - x.square() - moments)).sum(-1)
