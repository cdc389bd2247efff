"""The dithered lattice of the paper as a bottleneck."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from onmt_lattice.bottlenecks.base import BottleneckConfig, option, register_bottleneck
from onmt_lattice.bottlenecks.channel import ChannelBottleneck, ChannelConfig, LatticeChannel
from onmt_lattice.codes import code_names
from onmt_lattice.lattices import Lattice, make_lattice, takes_any_dim
from onmt_lattice.lattices.product import innermost
from onmt_lattice.noise import Noise

AUTO = "auto"
ANY_DIM = 64  # stands for the dimension of a family, which the model decides


def lattice_for(name: str, dim: int) -> Lattice:
    """Return the lattice ``name``, of ``dim`` dimensions if it is a family of any dimension."""
    return make_lattice(name, n=dim) if takes_any_dim(name) else make_lattice(name)


def code_on(lattice: Lattice, name: str = AUTO) -> str:
    """Return ``name``, or for AUTO the name of the exact code on ``lattice``."""
    if name != AUTO:
        return name
    return "convolved_gaussian" if lattice.dim == 1 else "discrete_gaussian"


@dataclasses.dataclass(frozen=True)
class LatticeConfig(ChannelConfig):
    """Options of the ``lattice`` bottleneck."""

    lattice: str = option("Z", "the lattice Λ, one of 'onmt_lattice lattices'")
    lattice_code: str = option(
        AUTO,
        "the code on its points: convolved_gaussian is the paper's (exact on Z, a Monte-Carlo "
        "upper bound elsewhere), discrete_gaussian is exact on every lattice; auto takes "
        "convolved_gaussian on Z and discrete_gaussian elsewhere",
        choices=lambda: [AUTO, *code_names()],
    )


@register_bottleneck
class LatticeBottleneck(ChannelBottleneck):
    """μ = AX + a; Z = K(μ/σ + U) is coded, and the decoder gets C(σ⊙(Z − U)) + c.

    See :class:`LatticeChannel`; d numbers need d/n points of a lattice of n dimensions. A family
    named without a dimension means its lattice of d dimensions.
    """

    name = "lattice"
    summary = "dithered quantization to a lattice, coded given the dither"
    Config = LatticeConfig
    channel: LatticeChannel

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config)
        self.symbol_count = len(self.channel.permutation)

    def received(self, symbols: Tensor, noise: Noise) -> Tensor:
        """See :meth:`Bottleneck.received`."""
        return self.map_out(self.channel.received(symbols, noise))

    def make_channel(self, config: ChannelConfig) -> LatticeChannel:
        """See :meth:`ChannelBottleneck.make_channel`."""
        config = cast(LatticeConfig, config)
        lattice = lattice_for(config.lattice, self.dim)
        code = code_on(lattice, config.lattice_code)
        return LatticeChannel(self.dim, lattice, code, config.prior)

    @classmethod
    def has_code(cls, settings: Mapping[str, Any]) -> bool:
        """See :meth:`Bottleneck.has_code`: False if the code is a Monte-Carlo estimate."""
        code = settings.get("lattice_code", AUTO)
        if code != "convolved_gaussian":
            return code in (AUTO, "discrete_gaussian")
        lattice = lattice_for(settings.get("lattice", LatticeConfig.lattice), ANY_DIM)
        return innermost(lattice)[0].dim == 1

    @classmethod
    def label(cls, settings: dict[str, Any]) -> str:
        """See :meth:`Bottleneck.label`."""
        return f"lattice {settings['lattice']}"
