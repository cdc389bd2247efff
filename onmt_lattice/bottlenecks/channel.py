"""One channel, Y = μ + σ⊙N, under two laws of noise: the Gaussian's and a lattice's dither."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from onmt_lattice.bottlenecks.base import (
    Bottleneck,
    BottleneckConfig,
    BottleneckOutput,
    option,
    register_bottleneck,
    require_finite,
)
from onmt_lattice.codes import make_code
from onmt_lattice.lattices import Lattice
from onmt_lattice.noise import Noise

LEARNED, UNIT = "learned", "unit"


class ChannelOutput(NamedTuple):
    """The output of a channel.

    Attributes:
        value: ``(batch, d)``, Y.
        rate_nats: ``(batch,)`` float64, the cost of Y.
        symbols: ``(batch, padded_dim)`` int64, coordinates of the lattice points in their bases;
            None if nothing discrete is sent.
    """

    value: Tensor
    rate_nats: Tensor
    symbols: Tensor | None


def gaussian_kl_nats(mean: Tensor, log_sigma: Tensor, log_prior: Tensor | float = 0.0) -> Tensor:
    """Return KL(N(mean, σ²) ‖ N(0, v)) in nats, elementwise, in closed form.

    Args:
        mean: the means.
        log_sigma: log σ.
        log_prior: ½ log v.
    """
    log_ratio = log_sigma - log_prior
    square = (mean * torch.exp(-torch.as_tensor(log_prior, dtype=mean.dtype))).square()
    return 0.5 * (square + torch.expm1(2 * log_ratio)) - log_ratio


class Channel(nn.Module, ABC):
    """Y = μ + σ⊙N of d numbers, N of unit second moment; the prior of Y is N(b, diag v).

    Args:
        dim: d.
        padded_dim: number of prior scales, d or more.
        prior: ``learned`` or ``unit`` (v = 1).

    Attributes:
        log_sigma: ``(d,)``, log σ.
        log_prior: ``(padded_dim,)``, ½ log v.
        center: ``(d,)``, b: 0, unless the channel was fitted to data after training.
    """

    log_prior: Tensor
    center: Tensor

    def __init__(self, dim: int, padded_dim: int, prior: str = LEARNED) -> None:
        super().__init__()
        self.dim = dim
        self.log_sigma = nn.Parameter(torch.zeros(dim))
        if prior == LEARNED:
            self.log_prior = nn.Parameter(torch.zeros(padded_dim))
        else:
            self.register_buffer("log_prior", torch.zeros(padded_dim))
        self.register_buffer("center", torch.zeros(dim))

    def reset_parameters(self) -> None:
        """Set σ and v to 1, where the rate of μ = 0 is 0 for the Gaussian."""
        for tensor in (self.log_sigma, self.log_prior, self.center):
            nn.init.zeros_(tensor)

    @abstractmethod
    def relaxed(self, mean: Tensor, noise: Noise) -> ChannelOutput:
        """Return the differentiable channel's Y and rate for μ = ``mean`` ``(batch, d)``."""

    @abstractmethod
    def quantized(self, mean: Tensor, noise: Noise) -> ChannelOutput:
        """Return the real channel's Y, rate and symbols for μ = ``mean`` ``(batch, d)``."""


class GaussianChannel(Channel):
    """N ~ N(0, I), the limit of the best lattices in high dimensions.

    The rate is KL(N(μ, σ²) ‖ N(b, v)), the cost of a dithered lattice in the limit of infinite
    dimension; nothing discrete is sent (paper, section 3).
    """

    def __init__(self, dim: int, prior: str = LEARNED) -> None:
        super().__init__(dim, dim, prior)

    def relaxed(self, mean: Tensor, noise: Noise) -> ChannelOutput:
        """See :meth:`Channel.relaxed`."""
        value = mean + self.log_sigma.exp() * noise.normal(mean, self.dim)
        return ChannelOutput(value, self.rate_nats(mean), None)

    quantized = relaxed

    def rate_nats(self, mean: Tensor) -> Tensor:
        """Return ``(batch,)``, KL(N(μ, σ²) ‖ N(b, v)) at μ = ``mean`` ``(batch, d)``."""
        log_sigma, log_prior = self.log_sigma.double(), self.log_prior.double()
        return gaussian_kl_nats((mean - self.center).double(), log_sigma, log_prior).sum(-1)


class LatticeChannel(Channel):
    """N = −U, U uniform on the Voronoi cell of a lattice whose second moment is 1 per dimension.

    The d coordinates of (μ − b)/σ are reordered and cut into d/n blocks of n, padded with zeros
    where n does not divide d; each block is quantized to a lattice point. Z = K((μ − b)/σ + U) is
    coded, and Y = b + σ(Z − U). Training has no quantizer: Z − U and (μ − b)/σ − U have the same
    law (Crypto-Lemma), and the code's cost at the latter is the codeword's length in expectation
    (paper, Theorem 1).

    The code's prior scales are s = √v/σ. In training, each batch groups coordinates of similar s in
    a block; within it, the least informative coordinates (smallest s) go to the positions where the
    lattice is worst (its ends).

    Args:
        dim: d.
        lattice: a lattice of n dimensions, at any scale.
        code: name of the code on its points.
        prior: ``learned`` or ``unit``.

    Attributes:
        permutation: the coordinate at each position of the blocks; d and above are padding.
    """

    permutation: Tensor
    best_first: Tensor

    def __init__(self, dim: int, lattice: Lattice, code: str, prior: str = LEARNED) -> None:
        blocks = -(-dim // lattice.dim)
        super().__init__(dim, blocks * lattice.dim, prior)
        self.lattice = lattice.with_second_moment(1.0)
        self.code = make_code(code, self.lattice)
        self.blocks = blocks
        self.register_buffer("permutation", torch.arange(blocks * lattice.dim))
        best_first = torch.tensor(lattice.coordinate_ranking)
        self.register_buffer("best_first", best_first, persistent=False)

    def reset_parameters(self) -> None:
        """See :meth:`Channel.reset_parameters`; coordinates are in their own order."""
        super().reset_parameters()
        torch.arange(len(self.permutation), out=self.permutation)

    @property
    def log_scale(self) -> Tensor:
        """``(padded_dim,)``, log s of each coordinate; the padding is last."""
        return self.log_prior - nn.functional.pad(self.log_sigma, (0, self._padding))

    @property
    def block_log_scale(self) -> Tensor:
        """``(d/n, n)``, log s at each position of the blocks."""
        return self._blocks(self.log_scale[self.permutation])

    @torch.no_grad()
    def sort_coordinates(self) -> None:
        """Assign coordinates to positions by their prior scales; the padding counts as smallest."""
        log_s = self.log_scale.detach().clone()
        log_s[self.dim :] = -torch.inf
        order = log_s.argsort(descending=True, stable=True).view(self.blocks, -1)
        self.permutation.copy_(
            torch.empty_like(order).index_copy_(1, self.best_first, order).flatten()
        )

    def dither(self, like: Tensor, noise: Noise) -> Tensor:
        """Return U ``(batch, d/n, n)``."""
        return self.lattice.dither(self._blocks(noise.uniform(like, len(self.permutation))))

    def relaxed(self, mean: Tensor, noise: Noise) -> ChannelOutput:
        """See :meth:`Channel.relaxed`: the rate is log f_U(U) − log f_{X̂−U}((μ − b)/σ − U)."""
        if self.training:
            self.sort_coordinates()
        y = self.dithered(mean, noise)
        return ChannelOutput(self.value(y), self.rate_nats(y, noise), None)

    def quantized(self, mean: Tensor, noise: Noise) -> ChannelOutput:
        """See :meth:`Channel.quantized`: the rate is −log P(Ẑ = Z | U)."""
        u = self.dither(mean, noise)
        z = require_finite(self.lattice.nearest_point(self.to_blocks(mean) + u))
        symbols = self.lattice.coordinates(z).flatten(1)
        y = self._point(symbols, u) - u
        return ChannelOutput(self.value(y), self.rate_nats(y, noise), symbols)

    def received(self, symbols: Tensor, noise: Noise) -> Tensor:
        """Return the value of ``symbols``: that of :meth:`quantized` with equal ``noise``."""
        u = self.dither(symbols.to(self.log_sigma), noise)
        return self.value(self._point(symbols, u) - u)

    def dithered(self, mean: Tensor, noise: Noise) -> Tensor:
        """Return (μ − b)/σ − U ``(batch, d/n, n)``, which has the law of z − u given μ."""
        return self.to_blocks(mean) - self.dither(mean, noise)

    def from_blocks(self, y: Tensor) -> Tensor:
        """Return ``(batch, d)``, the coordinates of blocks ``y`` ``(batch, d/n, n)``, in order."""
        return y.flatten(1)[:, self.permutation.argsort()[: self.dim]]

    def rate_nats(self, y: Tensor, noise: Noise) -> Tensor:
        """Return ``(batch,)``, the cost of the points z at y = z − u ``(batch, d/n, n)``."""
        return -self.code.log_prob(y, self.block_log_scale, noise).sum(-1)

    def value(self, y: Tensor) -> Tensor:
        """Return Y ``(batch, d)`` at y = z − u ``(batch, d/n, n)``."""
        return self.center + self.log_sigma.exp() * self.from_blocks(y)

    def _point(self, symbols: Tensor, like: Tensor) -> Tensor:
        """Return the points z ``(batch, d/n, n)`` of their coordinates in the lattice's basis."""
        return self.lattice.point(self._blocks(symbols)).to(like)

    def to_blocks(self, mean: Tensor) -> Tensor:
        """Return (μ − b)/σ ``(batch, d/n, n)``, each coordinate at its position."""
        x = (mean - self.center) * (-self.log_sigma).exp()
        return self._blocks(nn.functional.pad(x, (0, self._padding))[:, self.permutation])

    def _blocks(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.blocks, self.lattice.dim))

    @property
    def _padding(self) -> int:
        return len(self.permutation) - self.dim


@dataclasses.dataclass(frozen=True)
class ChannelConfig(BottleneckConfig):
    """Options of bottlenecks that are a channel between two linear maps."""

    prior: str = option(
        LEARNED,
        "the prior of Y, N(0, diag v): v is learned, or 1 (unit, the paper's)",
        choices=lambda: [LEARNED, UNIT],
    )


class ChannelBottleneck(Bottleneck):
    """μ = AX + a goes through a :class:`Channel`, and the decoder gets CY + c.

    A starts with a gain of 3, so that the noise does not hide X when training starts.
    """

    always_maps = True
    encoder_gain: ClassVar[float] = 3.0
    channel: Channel

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config)
        self.channel = self.make_channel(cast(ChannelConfig, config))
        self.reset_parameters()

    @abstractmethod
    def make_channel(self, config: ChannelConfig) -> Channel:
        """Return the channel of d = ``dim`` numbers that ``config`` describes."""

    def reset_parameters(self) -> None:
        """Initialise the maps as orthogonal, the channel as :meth:`Channel.reset_parameters`."""
        super().reset_parameters()
        self.channel.reset_parameters()

    def relaxed(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """See :meth:`Bottleneck.relaxed`."""
        return self._decoded(self.channel.relaxed(self.map_in(x), noise))

    def quantized(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """See :meth:`Bottleneck.quantized`."""
        return self._decoded(self.channel.quantized(self.map_in(x), noise))

    def _decoded(self, channel: ChannelOutput) -> BottleneckOutput:
        return BottleneckOutput(self.map_out(channel.value), channel.rate_nats, channel.symbols)


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
