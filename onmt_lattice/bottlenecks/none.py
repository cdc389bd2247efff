"""No bottleneck: the unquantized upper bound."""

from __future__ import annotations

import torch
from torch import Tensor

from onmt_lattice.bottlenecks.base import (
    Bottleneck,
    BottleneckConfig,
    BottleneckOutput,
    register_bottleneck,
)
from onmt_lattice.noise import Noise


@register_bottleneck
class IdentityBottleneck(Bottleneck):
    """The decoder gets X itself. The rate is 0, which is not a code length."""

    name = "none"
    summary = "the identity, rate 0: the unquantized upper bound"
    is_code = False

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config)
        self.reset_parameters()

    def relaxed(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """See :meth:`Bottleneck.relaxed`."""
        output = self.map_out(self.map_in(x))
        return BottleneckOutput(
            output, torch.zeros(len(x), dtype=torch.double, device=x.device), None
        )

    quantized = relaxed
