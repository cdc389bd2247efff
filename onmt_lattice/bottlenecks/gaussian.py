"""The Gaussian channel: the stand-in for a perfect lattice of high dimension."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onmt_lattice.bottlenecks.base import (
    Bottleneck,
    BottleneckConfig,
    Bottlenecked,
    ChannelConfig,
    register_bottleneck,
)
from onmt_lattice.noise import Noise


def gaussian_kl_nats(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Return KL(N(mean, σ²) ‖ N(0, 1)) in nats, elementwise, in closed form."""
    return 0.5 * (mean.square() + torch.expm1(2 * log_sigma)) - log_sigma


@register_bottleneck
class GaussianBottleneck(Bottleneck):
    """μ = AX + a; Y = μ + σ⊙ε with ε ~ N(0, I) and σ free; the decoder gets CY + c.

    The rate is KL(N(μ, σ²) ‖ N(0, I)), what a dithered lattice would cost in the limit of a
    perfect lattice of infinite dimension; nothing discrete is sent (paper, section 4).
    """

    name = "gaussian"
    summary = "Gaussian noise of learned variance, rate = KL to the unit Gaussian"
    Config = ChannelConfig
    always_maps = True

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config)
        self.log_sigma = nn.Parameter(torch.empty(self.dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the maps as orthogonal and σ as 1, where the rate of μ = 0 is 0."""
        super().reset_parameters()
        nn.init.zeros_(self.log_sigma)

    def relaxed(self, x: Tensor, noise: Noise) -> Bottlenecked:
        """See :meth:`Bottleneck.relaxed`."""
        mean = self.map_in(x)
        y = mean + self.log_sigma.exp() * noise.normal(mean, self.dim)
        rate = gaussian_kl_nats(mean.double(), self.log_sigma.double()).sum(-1)
        return Bottlenecked(self.map_out(y), rate, None)

    quantized = relaxed
