"""The objective: NLL + λ · rate, in one backward pass."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from onmt.utils.loss import NMTLossCompute
from torch import Tensor, nn

from onmt_lattice.config import from_options
from onmt_lattice.opennmt.model.cross_entropy import cross_entropy
from onmt_lattice.opennmt.model.statistics import RateStatistics
from onmt_lattice.opennmt.options.schedules import RateWeight


class RateLossCompute(NMTLossCompute):
    """OpenNMT-py's loss with the rate added once a batch, and without its shards.

    OpenNMT-py bounds the memory for the logits by shards of ``-max_generator_batches`` time steps,
    each with a backward pass of its own; here :func:`cross_entropy` does, and the option has no
    effect.

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

    def __call__(
        self,
        batch: Any,
        output: Tensor,
        attns: dict[str, Tensor],
        normalization: float = 1.0,
        **_: Any,
    ) -> tuple[Tensor, RateStatistics]:
        """Return the loss over ``normalization``, and the statistics of the batch.

        Args:
            batch: OpenNMT-py's, as :func:`~onmt_lattice.opennmt.data.stream.moved` returns it;
                ``batch.tgt`` is ``(tgt_len, batch, 1)``.
            output: ``(tgt_len - 1, batch, dim)``, the decoder's.
            attns: with the rate of each sentence in nats, ``rate_nats``, ``(batch,)``, and perhaps
                the ``penalty`` of each.
            normalization: sentences or tokens that the loss is divided by.
        """
        target = batch.tgt[1:, :, 0].flatten().index_select(0, batch.real)
        rows = output.flatten(0, 1).index_select(0, batch.real)
        nll = cross_entropy(rows, self.generator[0], target, 1 / normalization)
        rate = attns["rate_nats"].sum()
        weight = self.rate_weight(self.training_step())
        loss = nll.loss + weight / normalization * rate
        if "penalty" in attns:
            loss = loss + attns["penalty"].sum() / normalization
        tokens = nll.nll_nats.new_full((), len(rows))
        sums = [nll.nll_nats, tokens, nll.correct.double(), rate.detach().double()]
        return loss, RateStatistics.of_batch(torch.stack(sums), weight)


def with_rate(compute: NMTLossCompute, opt: Namespace) -> RateLossCompute:
    """Return OpenNMT-py's loss ``compute`` with the rate that ``opt`` asks for added."""
    device = next(compute.generator.parameters()).device
    loss = RateLossCompute(compute.criterion, compute.generator, from_options(RateWeight, opt))
    return loss.to(device)
