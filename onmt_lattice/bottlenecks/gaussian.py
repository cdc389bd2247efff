"""The Gaussian channel as a bottleneck: the reference curve for lattices."""

from __future__ import annotations

from onmt_lattice.bottlenecks.base import register_bottleneck
from onmt_lattice.bottlenecks.channel import ChannelBottleneck, ChannelConfig, GaussianChannel


@register_bottleneck
class GaussianBottleneck(ChannelBottleneck):
    """μ = AX + a; Y = μ + σ⊙ε with ε ~ N(0, I); the decoder gets CY + c.

    The rate is KL(N(μ, σ²) ‖ N(0, diag v)); see :class:`GaussianChannel`.
    """

    name = "gaussian"
    summary = "Gaussian noise of learned variance, rate = KL to the Gaussian prior"
    Config = ChannelConfig

    def make_channel(self, config: ChannelConfig) -> GaussianChannel:
        """See :meth:`ChannelBottleneck.make_channel`."""
        return GaussianChannel(self.dim, config.prior)
