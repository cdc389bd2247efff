"""The dithered lattice bottleneck of the paper."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from torch import Tensor

from onmt_lattice.bottlenecks.base import (
    Bottleneck,
    BottleneckConfig,
    Bottlenecked,
    ChannelConfig,
    option,
    register_bottleneck,
)
from onmt_lattice.codes import code_names, make_code
from onmt_lattice.lattices import make_lattice
from onmt_lattice.noise import Noise

DIM_SHARE = 4


def _code_choices() -> list[str]:
    return ["auto", *code_names()]


@dataclasses.dataclass(frozen=True)
class LatticeConfig(ChannelConfig):
    """Options of the ``lattice`` bottleneck; its ``bottleneck_dim`` of 0 stands for m/4.

    A lattice pays for every coordinate that works, its space-filling loss at least, and gains on Z
    only where the coordinates of a block carry similar information: few numbers, all at work, and
    one prior scale a block. docs/lattices_in_models.md has the measurements behind the defaults.
    """

    lattice: str = option("Z", "the lattice Λ: Z, A2, D4, E8, ...; any name of make_lattice")
    lattice_code: str = option(
        "auto",
        "the code on its points: convolved_gaussian is the paper's (exact on Z, a Monte-Carlo "
        "upper bound elsewhere), discrete_gaussian is exact on every lattice; auto takes "
        "convolved_gaussian on Z and discrete_gaussian elsewhere",
        choices=_code_choices,
    )
    prior_scale: str = option(
        "block",
        "learn one prior scale for each lattice point (block) or for each of its coordinates",
        choices=lambda: ["block", "coordinate"],
    )


@register_bottleneck
class LatticeBottleneck(Bottleneck):
    """μ = AX + a; Z = K(μ + U) is coded, and the decoder gets C(Z − U) + c.

    Λ is scaled so that U, uniform on its Voronoi cell, has second moment 1 a dimension. Training
    puts Y = μ − U for Z − U, which has the same law (Crypto-Lemma), and the code's cost at Y for
    the codeword's length, which is the same in expectation (paper, Theorem 1).

    d, m/4 unless ``bottleneck_dim`` says otherwise, is raised to the next multiple of the lattice's
    dimension n: A maps to, and C from, so many numbers, which makes d/n lattice points a sentence.
    """

    name = "lattice"
    summary = "dithered quantization to a lattice, coded given the dither"
    Config = LatticeConfig
    always_maps = True

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        config = cast(LatticeConfig, config)
        self._lattice = make_lattice(config.lattice).with_second_moment(1.0)
        dim = config.bottleneck_dim or -(-input_dim // DIM_SHARE)
        super().__init__(input_dim, dataclasses.replace(config, bottleneck_dim=dim))
        code = config.lattice_code
        if code == "auto":
            code = "convolved_gaussian" if self._lattice.dim == 1 else "discrete_gaussian"
        self.code = make_code(
            code, self._lattice, self.dim // self._lattice.dim, config.prior_scale == "block"
        )
        self.reset_parameters()

    @classmethod
    def label(cls, settings: dict[str, Any]) -> str:
        """See :meth:`Bottleneck.label`."""
        return f"lattice {settings['lattice']}"

    def inner_dim(self, requested: int) -> int:
        """Return ``requested`` raised to a multiple of the lattice's dimension."""
        n = self._lattice.dim
        return -(-requested // n) * n

    def reset_parameters(self) -> None:
        """Initialise the maps as orthogonal and the prior scales as 1."""
        super().reset_parameters()
        self.code.reset_parameters()

    def _blocks(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1, self._lattice.dim)

    def dither(self, like: Tensor, noise: Noise) -> Tensor:
        """Return U ``(batch, d/n, n)``."""
        return self._lattice.dither(self._blocks(noise.uniform(like, self.dim)))

    def relaxed(self, x: Tensor, noise: Noise) -> Bottlenecked:
        """See :meth:`Bottleneck.relaxed`: Y = μ − U, rate = log f_U(U) − log f_{X̂−U}(Y)."""
        mean = self.map_in(x)
        y = self._blocks(mean) - self.dither(mean, noise)
        rate = -self.code.log_prob(y, noise).sum(-1)
        return Bottlenecked(self.map_out(y.flatten(1)), rate, None)

    def quantized(self, x: Tensor, noise: Noise) -> Bottlenecked:
        """See :meth:`Bottleneck.quantized`: Z = K(μ + U), rate = −log P(Ẑ = Z | U)."""
        mean = self.map_in(x)
        u = self.dither(mean, noise)
        z = self._lattice.nearest_point(self._blocks(mean) + u)
        y = z - u
        rate = -self.code.log_prob(y, noise).sum(-1)
        symbols = self._lattice.coordinates(z).flatten(1)
        return Bottlenecked(self.map_out(y.flatten(1)), rate, symbols)
