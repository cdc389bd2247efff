"""The objective: NLL + λ · rate, inside OpenNMT-py's sharded loss."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from onmt.utils.loss import NMTLossCompute
from torch import Tensor, nn

from onmt_lattice.opennmt.settings import rate_weight_from_opt
from onmt_lattice.opennmt.statistics import RateStatistics


class RateLossCompute(NMTLossCompute):
    """OpenNMT-py's loss with the rate added once a batch.

    With sharding, each shard runs its own backward pass, so the rate cannot be added at the end.
    It is spread evenly over the time steps instead, as one more member of the shard state: each
    shard adds its part, whatever the shards, and normalisation, gradient accumulation and loss
    scaling treat both terms alike.

    Args:
        criterion, generator: as in OpenNMT-py.
        rate_weight: λ as a function of the training step.
    """

    def __init__(
        self, criterion: nn.Module, generator: nn.Module, rate_weight: Callable[[int], float]
    ) -> None:
        super().__init__(criterion, generator)
        self.rate_weight = rate_weight
        self.training_step: Callable[[], int] = lambda: 1

    def _make_shard_state(
        self,
        batch: Any,
        output: Tensor,
        range_: tuple[int, int],
        attns: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        state = super()._make_shard_state(batch, output, range_, attns)
        assert attns is not None
        share = attns["rate_nats"] / len(output)  # (batch,)
        state["rate_share"] = share.expand(len(output), -1)  # (tgt_len - 1, batch)
        return state

    def _compute_loss(
        self, batch: Any, output: Tensor, target: Tensor, **shard: Tensor
    ) -> tuple[Tensor, RateStatistics]:
        rate = shard["rate_share"].sum()
        nll, stats = super()._compute_loss(batch, output, target)
        stats.rate_nats = rate.item()
        stats.rate_weight = self.rate_weight(self.training_step())
        return nll + stats.rate_weight * rate.to(nll.dtype), stats


def with_rate(compute: NMTLossCompute, opt: Namespace) -> RateLossCompute:
    """Return OpenNMT-py's loss ``compute`` with the rate that ``opt`` asks for added."""
    device = next(compute.generator.parameters()).device
    loss = RateLossCompute(compute.criterion, compute.generator, rate_weight_from_opt(opt))
    return loss.to(device)
