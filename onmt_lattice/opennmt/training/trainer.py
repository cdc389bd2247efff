"""OpenNMT-py's trainer, with validation on every device, and exact resumption."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from onmt.trainer import Trainer
from onmt.utils.earlystopping import EarlyStopping, PatienceEnum
from onmt.utils.logging import logger
from torch import Tensor

from onmt_lattice.errors import Interrupted
from onmt_lattice.evaluation.codebook import codebook_usage
from onmt_lattice.noise import SentenceNoise
from onmt_lattice.opennmt.checkpoint.contents import (
    PLUGIN_KEY,
    host_random_state,
    random_state,
    set_random_state,
)
from onmt_lattice.opennmt.checkpoint.loading import process_state
from onmt_lattice.opennmt.data.stream import PositionTracker
from onmt_lattice.opennmt.model.autoencoder import Autoencoder
from onmt_lattice.opennmt.model.devices import gathered, greatest, matmul_precision
from onmt_lattice.opennmt.model.statistics import RateStatistics
from onmt_lattice.opennmt.training.interruption import StopNow, StopRequest

PATIENCE = ("tolerance", "stalled_tolerance", "current_tolerance", "current_step_best")


class RateTrainer(Trainer):
    """A trainer of autoencoders.

    Attributes:
        batches_taken: number of batches that the run has taken from its data.
        data: the batches, with the position in the corpora.
        noise_seed: seed of the dither and noise of validation.
        precision: of the products of matrices in a step; see :func:`~.devices.matmul_precision`.
        unreported: statistics of the steps since the last report.
        unreported_sums: their sums, in a run that resumes between two reports.
        best_total: the least NLL + rate of a validation so far, bits per token.
        first_step: the step that this run starts from.
        stop: whether a signal has asked to stop.
        average_interval: steps between two updates of the moving average.
    """

    model: Autoencoder
    average_every: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches_taken = 0
        self.data = PositionTracker([])
        if self.earlystopper is not None:  # OpenNMT-py shares the best scores between runs
            scorers = self.earlystopper.early_stopping_scorers
            self.earlystopper.early_stopping_scorers = [type(scorer)() for scorer in scorers]
        self.noise_seed = 0
        self.precision = "highest"
        self.unreported = RateStatistics()
        self.unreported_sums: dict[str, float] | None = None
        self.best_total = math.inf
        self.first_step = 0
        self.stop = StopRequest()
        # OpenNMT-py counts from the step that a run resumes from.
        self.average_interval: int = self.average_every
        self.average_every = 1
        self.train_loss.training_step = lambda: self.optim.training_step
        self.valid_loss.training_step = lambda: self.optim.training_step - 1  # the one just done

    def run_state(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside model and optimizer."""
        return {
            "batches_taken": self.batches_taken,
            "rate_weight": self.train_loss.rate_weight(self.optim.training_step - 1),
            "best": self.best_total,
            "patience": None if self.earlystopper is None else _patience(self.earlystopper),
        }

    def process_state(self) -> dict[str, Any]:
        """Return the state of this process."""
        return {
            "random_state": random_state(),
            "unreported": self.unreported.sums(),
            "position": self.data.position,
        }

    def _gradient_accumulation(
        self,
        true_batches: list[Any],
        normalization: int,
        total_stats: RateStatistics,
        report_stats: RateStatistics,
    ) -> None:
        if self.unreported_sums is not None:
            report_stats.resume(self.unreported_sums)
            self.unreported_sums = None
        with matmul_precision(self.precision):
            super()._gradient_accumulation(true_batches, normalization, total_stats, report_stats)

    def resume(self, checkpoint: dict[str, Any], rank: int) -> None:
        """Continue the run of ``checkpoint``, whose model and optimizer are in use already."""
        state = checkpoint[PLUGIN_KEY]
        self.first_step, self.batches_taken = self.optim.training_step - 1, state["batches_taken"]
        if self.first_step == state["step"]:  # no optimizer that counts the steps anew
            self.best_total = state["best"]
            self.unreported_sums = (process_state(checkpoint, rank) or {}).get("unreported")
            if self.earlystopper is not None and state["patience"] is not None:
                _set_patience(self.earlystopper, state["patience"])
        rates = zip(self.dropout, self.attention_dropout, strict=True)
        for begin, dropouts in zip(self.dropout_steps, rates, strict=True):
            if begin <= self.first_step:
                self.model.update_dropout(*dropouts)
        if (raw := state.get("raw")) is not None:  # then the model is their moving average
            parameters = dict(self.model.named_parameters())
            if self.average_decay > 0:
                self.moving_average = [p.detach().float().clone() for p in parameters.values()]
            for name, parameter in parameters.items():
                parameter.data.copy_(raw[name])

    def _maybe_report_training(self, *args: Any) -> RateStatistics:
        step, *_, stats = args
        stats.steps += 1
        if step % self.report_manager.report_every == 0:
            self.optim.check_norms()
            uniform = math.log2(self.model.generator[0].out_features)
            if stats.nll_bits() > 2 * uniform:
                logger.warning(
                    "Step %d: an NLL of %.3g bits per token, where guessing takes %.1f: training "
                    "diverges; a smaller -learning_rate may help",
                    *(step, stats.nll_bits(), uniform),
                )
        self.unreported = super()._maybe_report_training(*args)
        return self.unreported

    def _accum_batches(self, iterator: Iterable[Any]) -> Iterator[tuple[list[Any], int]]:
        """Yield the batches of each step, and the divisor of its loss.

        OpenNMT-py would ask the device for the number of tokens, and wait.
        """
        stream = iter(iterator)
        while True:
            self._stop_if_requested()
            self.accum_count = self._accum_count(self.optim.training_step)
            batches = self._read(stream)
            if not batches:
                return
            self.batches_taken += len(batches)
            by_tokens = self.norm_method == "tokens"
            yield batches, sum(len(b.real) if by_tokens else b.batch_size for b in batches)

    def _read(self, stream: Iterator[Any]) -> list[Any]:
        """Return the batches of a step; if a signal interrupts that, none is taken."""
        position, state = self.data.position, host_random_state()
        try:
            with self.stop.while_reading():
                return list(islice(stream, self.accum_count))
        except StopNow:
            self.data.position = position
            set_random_state(state)
            self._stop_if_requested()
            raise

    def _stop_if_requested(self) -> None:
        """Save a checkpoint and raise :class:`Interrupted` if a signal has asked to stop."""
        device = next(self.model.parameters()).device
        number = greatest(self.stop.number or 0, device)  # all processes stop at the same step
        if not number:
            return
        step = self.optim.training_step - 1
        message = f"stopped at step {step} by {signal.Signals(number).name}"
        if step > self.first_step and self.model_saver is not None:
            self.model_saver.save(step, moving_average=self.moving_average)
            if self.model_saver.last_saved_step == step:
                path = self.model_saver.last_path
                message += f"; {path} is written, and -resume auto resumes from it"
        raise Interrupted(number, message)

    def _update_average(self, step: int) -> None:
        if (step - 1) % self.average_interval == 0:
            if self.moving_average is None:  # OpenNMT-py would take the parameters themselves
                self.moving_average = [p.detach().float().clone() for p in self.model.parameters()]
            else:
                super()._update_average(step)

    def _report_step(
        self,
        learning_rate: float,
        step: int,
        train_stats: RateStatistics | None = None,
        valid_stats: RateStatistics | None = None,
    ) -> None:
        """Report a validation; save the model if it is the best so far."""
        super()._report_step(learning_rate, step, train_stats, valid_stats)
        if valid_stats is None or self.model_saver is None:
            return
        total = valid_stats.nll_bits() + valid_stats.rate_bits()
        if total < self.best_total:
            self.best_total = total
            self.model_saver.save_best(step, self.moving_average)

    def validate(
        self, valid_iter: Iterable[Any], moving_average: list[Tensor] | None = None
    ) -> RateStatistics:
        """Return the statistics of the quantized channel, with the relaxed channel's attached.

        They are sums over all processes, each of which has some of the sentences. The noise of a
        sentence depends on its index alone, so validation neither depends on the batches nor
        changes the random numbers of training.
        """
        quantized, relaxed = RateStatistics(), RateStatistics()
        batch = None
        all_symbols: list[Tensor] = []
        with self._evaluated(moving_average), torch.no_grad(), matmul_precision("highest"):
            for batch in valid_iter:
                with torch.autocast("cuda", enabled=self.optim.amp):
                    x = self.model.encoder.represent(*batch.src)
                    symbols = self._score(batch, x, quantized, relaxed=False)
                    self._score(batch, x, relaxed, relaxed=True)
                if symbols is not None:
                    all_symbols.append(symbols.cpu())
            for metric, scorer in self.valid_scorers.items() if batch is not None else ():
                scorer["value"] = self.training_eval_handler(scorer["scorer"], batch, "valid")
                quantized.computed_metrics |= {metric: scorer["value"]}
        quantized, relaxed = quantized.of_all_processes(), relaxed.of_all_processes()
        quantized.relaxed = relaxed
        logger.info("Validation quantized; %s", quantized.describe())
        logger.info("Validation relaxed;   %s", relaxed.describe())
        alphabet = self.model.encoder.bottleneck.alphabet
        if alphabet is not None:
            symbols = torch.cat([batch for batches in gathered(all_symbols) for batch in batches])
            usage = codebook_usage(symbols, alphabet)
            logger.info("Validation codebooks; %s", usage.describe())
        return quantized

    def _score(self, batch: Any, x: Tensor, stats: RateStatistics, relaxed: bool) -> Tensor | None:
        noise = SentenceNoise(self.noise_seed, batch.indices)
        through = self.model.encoder.bottlenecked(x, noise, relaxed)
        decoded = self.model.decode(batch.tgt, through.output)
        _, batch_stats = self.valid_loss(batch, decoded, {"rate_nats": through.rate_nats})
        stats.update(batch_stats)
        return through.symbols

    @contextmanager
    def _evaluated(self, moving_average: list[Tensor] | None) -> Iterator[None]:
        """Put the model in evaluation mode, with averaged parameters if there are any."""
        parameters = list(self.model.parameters())
        trained = [p.data for p in parameters]
        for parameter, average in zip(parameters, moving_average or (), strict=False):
            parameter.data = average.data
        self.model.eval()
        try:
            yield
        finally:
            for parameter, data in zip(parameters, trained, strict=True):
                parameter.data = data
            self.model.train()


def _patience(stopper: EarlyStopping) -> dict[str, Any]:
    """Return the state of ``-early_stopping`` in plain values."""
    return {
        "status": stopper.status.name,
        "scores": {s.name: float(s.best_score) for s in stopper.early_stopping_scorers},
        **{name: getattr(stopper, name) for name in PATIENCE},
    }


def _set_patience(stopper: EarlyStopping, patience: dict[str, Any]) -> None:
    """Set the state of :func:`_patience`, unless the option has changed."""
    if patience["tolerance"] == stopper.tolerance:
        stopper.status = PatienceEnum[patience["status"]]
        for scorer in stopper.early_stopping_scorers:
            scorer.best_score = patience["scores"].get(scorer.name, scorer.best_score)
        vars(stopper).update({name: patience[name] for name in PATIENCE})
