"""OpenNMT-py's trainer, validating on every device, in the real and the relaxed channel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from onmt.trainer import Trainer
from onmt.utils.logging import logger
from torch import Tensor

from onmt_lattice.codebook import CodebookUsage
from onmt_lattice.noise import SentenceNoise
from onmt_lattice.opennmt.model import Autoencoder
from onmt_lattice.opennmt.statistics import RateStatistics


class RateTrainer(Trainer):
    """A trainer of autoencoders.

    Attributes:
        batches_taken: how many batches the run has taken from its data, for a later resumption.
        noise_seed: seed of the dither and noise of validation.
        unreported: statistics of the steps since the last report.
        carried: sums of the statistics that a resumed run had not reported yet, if there are any.
    """

    model: Autoencoder

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches_taken = 0
        self.noise_seed = 0
        self.unreported = RateStatistics()
        self.carried: dict[str, float] | None = None
        self.train_loss.training_step = lambda: self.optim.training_step
        self.valid_loss.training_step = lambda: self.optim.training_step - 1  # the one just done

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside model and optimizer."""
        step = self.optim.training_step - 1
        return {
            "batches_taken": self.batches_taken,
            "rate_weight": self.train_loss.rate_weight(step),
            "unreported": self.unreported.sums(),
        }

    def _gradient_accumulation(
        self,
        true_batches: list[Any],
        normalization: int,
        total_stats: RateStatistics,
        report_stats: RateStatistics,
    ) -> None:
        if self.carried is not None:
            report_stats.carry_on(self.carried)
            self.carried = None
        super()._gradient_accumulation(true_batches, normalization, total_stats, report_stats)

    def _maybe_report_training(self, *args: Any) -> RateStatistics:
        self.unreported = super()._maybe_report_training(*args)
        return self.unreported

    def _accum_batches(self, iterator: Iterable[Any]) -> Iterator[tuple[list[Any], int]]:
        for batches, normalization in super()._accum_batches(iterator):
            self.batches_taken += len(batches)
            yield batches, normalization

    def validate(
        self, valid_iter: Iterable[Any], moving_average: list[Tensor] | None = None
    ) -> RateStatistics:
        """Return the statistics of the quantized channel, with the relaxed one's attached.

        Both channels decode every sentence with noise of its own index, so that validation
        neither depends on the batches nor disturbs the training's random numbers.
        """
        quantized, relaxed = RateStatistics(), RateStatistics()
        usage = CodebookUsage()
        with self._evaluated(moving_average), torch.no_grad():
            for batch in valid_iter:
                with torch.autocast("cuda", enabled=self.optim.amp):
                    x = self.model.encoder.represent(*batch.src)
                    symbols = self._score(batch, x, quantized, relaxed=False)
                    self._score(batch, x, relaxed, relaxed=True)
                if symbols is not None:
                    usage.add(symbols)
            for metric, scorer in self.valid_scorers.items():
                scorer["value"] = self.training_eval_handler(scorer["scorer"], batch, "valid")
                quantized.computed_metrics = {
                    **quantized.computed_metrics,
                    metric: scorer["value"],
                }
        quantized.relaxed = relaxed
        logger.info("Validation quantized; %s", quantized.describe())
        logger.info("Validation relaxed;   %s", relaxed.describe())
        alphabet = self.model.encoder.bottleneck.alphabet
        if alphabet is not None:
            logger.info("Validation codebooks; %s", usage.summary(alphabet).describe())
        return quantized

    def _score(self, batch: Any, x: Tensor, stats: RateStatistics, relaxed: bool) -> Tensor | None:
        src, lengths = batch.src
        noise = SentenceNoise(self.noise_seed, batch.indices)
        through = self.model.encoder.bottlenecked(x, noise, relaxed)
        decoded = self.model.decode(src, batch.tgt, lengths, through.output)
        _, batch_stats = self.valid_loss(batch, decoded, {"rate_nats": through.rate_nats})
        stats.update(batch_stats)
        return through.symbols

    @contextmanager
    def _evaluated(self, moving_average: list[Tensor] | None) -> Iterator[None]:
        """Put the model in evaluation mode, with averaged parameters if there are any."""
        parameters = list(self.model.parameters())
        kept = [p.data for p in parameters]
        for parameter, average in zip(parameters, moving_average or (), strict=False):
            parameter.data = average.data
        self.model.eval()
        try:
            yield
        finally:
            for parameter, data in zip(parameters, kept, strict=True):
                parameter.data = data
            self.model.train()
