"""The objective: NLL + λ · rate, in one backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onmt.utils.loss import NMTLossCompute
from torch import Tensor, nn

from onmt_lattice.opennmt.model.output_layer import cross_entropy
from onmt_lattice.opennmt.model.statistics import RateStatistics


class RateLossCompute(NMTLossCompute):
    """OpenNMT-py's loss plus λ · rate, without its shards.

    OpenNMT-py bounds the memory for the logits by shards of ``-max_generator_batches`` time steps,
    each with its own backward pass. Here :func:`cross_entropy` bounds it, and the option has no
    effect.

    Attributes:
        rate_weight: λ as a function of the training step.
        training_step: returns the step that λ is taken at.
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
        """Return the loss and the statistics of a batch.

        Args:
            batch: see :func:`~onmt_lattice.opennmt.data.stream.moved`.
            output: ``(tgt_len - 1, batch, dim)``, the decoder's.
            attns: ``rate_nats`` ``(batch,)`` and, for some bottlenecks, ``penalty`` ``(batch,)``.
            normalization: number of sentences or tokens, the divisor of the loss.
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
