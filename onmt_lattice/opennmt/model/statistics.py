"""Training statistics with the rate beside the decoder's cross entropy."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from onmt.utils.logging import logger
from onmt.utils.statistics import Statistics
from torch import Tensor

from onmt_lattice.opennmt.model.devices import gathered

NATS_PER_BIT = math.log(2)
SUMS = ("loss", "n_words", "n_correct", "rate_nats")


class RateStatistics(Statistics):
    """OpenNMT-py's statistics plus the rate; ``loss``, ``xent`` and ``ppl`` stay the decoder's.

    The sums stay on the model's device until one of them is read.

    Attributes:
        values: ``(4,)`` float64, the sums of ``SUMS``, or None before the first batch.
        rate_weight: the last λ.
        relaxed: statistics of the relaxed channel, in validation only.
        resumed_words: part of ``n_words`` from before the run was resumed.
        steps: training steps in these statistics.
    """

    def __init__(self) -> None:
        self.values: Tensor | None = None
        self.n_src_words = 0
        self.computed_metrics: dict[str, float] = {}
        self.start_time = time.time()
        self.rate_weight = 0.0
        self.relaxed: RateStatistics | None = None
        self.resumed_words = 0
        self.steps = 0

    @classmethod
    def of_batch(cls, values: Tensor, rate_weight: float) -> RateStatistics:
        """Return the statistics of one batch, or zeros if a value is not finite."""
        stats = cls()
        stats.values = values.masked_fill(~values.isfinite().all(), 0.0)
        stats.rate_weight = rate_weight
        return stats

    loss = property(lambda self: self._sum("loss"), doc="NLL in nats, summed over tokens")
    n_words = property(lambda self: int(self._sum("n_words")), doc="number of target tokens")
    n_correct = property(lambda self: int(self._sum("n_correct")), doc="number of correct guesses")
    rate_nats = property(lambda self: self._sum("rate_nats"), doc="rate, summed over sentences")

    def _sum(self, name: str) -> float:
        return 0.0 if self.values is None else self.values[SUMS.index(name)].item()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for another process, which may have other devices."""
        return {**vars(self), "values": None if self.values is None else self.values.cpu()}

    def update(self, stat: RateStatistics, update_n_src_words: bool = False) -> None:
        """Add another object's sums to this one's."""
        if self.values is not None and stat.values is not None:
            self.values = self.values.to(stat.values.device) + stat.values
        elif stat.values is not None:
            self.values = stat.values
        self.computed_metrics = stat.computed_metrics
        self.rate_weight = stat.rate_weight
        if update_n_src_words:
            self.n_src_words += stat.n_src_words

    def sums(self) -> dict[str, float]:
        """Return the sums for :meth:`resume`."""
        return {name: getattr(self, name) for name in SUMS}

    def resume(self, sums: dict[str, float]) -> None:
        """Start from the ``sums`` of earlier steps."""
        self.values = torch.tensor([sums[name] for name in SUMS], dtype=torch.double)
        self.resumed_words = self.n_words

    def of_all_processes(self) -> RateStatistics:
        """Return the sums over all processes, the same in each to the last bit."""
        total = RateStatistics()
        total.start_time = self.start_time
        for stat in gathered(self):
            total.update(stat, update_n_src_words=True)
        total.computed_metrics = self.computed_metrics
        return total

    def tokens_per_second(self) -> float:
        """Return the speed in target tokens per second."""
        return (self.n_words - self.resumed_words) / (self.elapsed_time() + 1e-5)

    def xent(self) -> float:
        """Return the decoder's cross entropy in nats per target token; NaN without tokens."""
        return self.loss / self.n_words if self.n_words else math.nan

    def ppl(self) -> float:
        """Return the perplexity of a target token."""
        return math.exp(min(self.xent(), 100))

    def accuracy(self) -> float:
        """Return the percentage of target tokens that were the decoder's first guess."""
        return 100 * self.n_correct / self.n_words if self.n_words else math.nan

    def nll_bits(self) -> float:
        """Return the decoder's NLL in bits per target token (end of sentence included)."""
        return self.xent() / NATS_PER_BIT

    def rate_bits(self) -> float:
        """Return the rate in bits per target token."""
        return self.rate_nats / self.n_words / NATS_PER_BIT if self.n_words else math.nan

    def scalars(self) -> dict[str, float]:
        """Return the numbers that logs show beside OpenNMT-py's own."""
        nll, rate = self.nll_bits(), self.rate_bits()
        return {"nll_bits": nll, "rate_bits": rate, "lambda": self.rate_weight, "total": nll + rate}

    def describe(self) -> str:
        """Return NLL, rate, λ and their total as one phrase; bits per token."""
        return (
            f"nll: {self.nll_bits():6.3f} rate: {self.rate_bits():6.3f} "
            f"total: {self.nll_bits() + self.rate_bits():6.3f} bits/tok; "
            f"lambda: {self.rate_weight:6.4f}"
        )

    def output(self, step: int, num_steps: int, learning_rate: float, start: float) -> None:
        """Log one report line."""
        elapsed = self.elapsed_time() + 1e-5
        last = f"/{num_steps}" if num_steps > 0 else ""
        remaining = ""
        if self.steps and step < num_steps:
            remaining = f" {duration(elapsed / self.steps * (num_steps - step))} left;"
        metrics = "".join(f" {k}: {v:.2f};" for k, v in self.computed_metrics.items())
        logger.info(
            f"Step {step}{last}; acc: {self.accuracy():6.2f}; ppl: {self.ppl():5.2f}; "
            f"xent: {self.xent():4.2f}; {self.describe()}; lr: {learning_rate:7.5f}; "
            f"{self.n_src_words / elapsed:3.0f}/{self.tokens_per_second():3.0f} tok/s; "
            f"{time.time() - start:6.0f} sec;{remaining}{metrics}"
        )

    def log_tensorboard(
        self, prefix: str, writer: Any, learning_rate: float, patience: Any, step: int
    ) -> None:
        """Write every number to TensorBoard under ``prefix``."""
        super().log_tensorboard(prefix, writer, learning_rate, patience, step)
        for key, value in self.scalars().items():
            writer.add_scalar(f"{prefix}/{key}", value, step)
        if self.relaxed is not None:
            for key, value in self.relaxed.scalars().items():
                writer.add_scalar(f"{prefix}/relaxed_{key}", value, step)


def duration(seconds: float) -> str:
    """Return a length of time in hours and minutes.

    >>> duration(4000)
    '1 h 7 min'
    """
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
