"""The optimizer with its norms, and reports as lines of a history."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from onmt.utils.logging import logger
from onmt.utils.optimizers import Optimizer
from onmt.utils.report_manager import ReportMgr
from torch import Tensor, nn

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.model.autoencoder import renamed, trainable
from onmt_lattice.opennmt.model.devices import is_on_host
from onmt_lattice.opennmt.model.statistics import RateStatistics
from onmt_lattice.opennmt.training.history import History

MAX_SKIPPED = 20  # steps in a row
MAX_UNCHECKED = 1000  # steps


class NormOptimizer(Optimizer):
    """OpenNMT-py's optimizer, which skips steps whose gradient is not finite.

    The norm is computed once. On a CPU it is checked at every step, and the gradient is scaled only
    if it is longer than ``-max_grad_norm``. On other devices Adam does not wait for the norm: its
    kernel skips the step, and a later check, after ``MAX_UNCHECKED`` steps at most, logs that. The
    other optimizers, and half precision, wait for the device.

    The state is keyed by the names of parameters, which torch numbers.

    Attributes:
        names: of the parameters, by their numbers.
        skipped: number of skipped steps, among those that were checked.
        last_checkpoint: returns the last checkpoint, as a phrase for messages.
    """

    _max_grad_norm: float
    names: list[str]
    skipped = 0
    _in_row = 0
    _last_norm = float("nan")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unchecked: list[tuple[int, Tensor]] = []
        self.last_checkpoint: Callable[[], str] = lambda: "no checkpoint is written"

    @classmethod
    def from_opt(
        cls, model: nn.Module, opt: Namespace, checkpoint: dict[str, Any] | None = None
    ) -> NormOptimizer:
        """Build the optimizer as OpenNMT-py does; Adam takes its step in one pass."""
        names = trainable(model)
        if checkpoint is not None:
            optim = dict(checkpoint["optim"])
            if opt.reset_optim in ("none", "keep_states"):
                numbers = {name: number for number, name in enumerate(names)}
                optim["optimizer"] = renamed(optim["optimizer"], numbers)
            checkpoint = {**checkpoint, "optim": optim}
        built: NormOptimizer = super().from_opt(model, opt, checkpoint)
        built.names = names
        adam = built._optimizer
        if type(adam) is torch.optim.Adam:
            for group in adam.param_groups:
                group["fused"] = True
            adam.load_state_dict(adam.state_dict())  # moves the counters to the right device
        return built

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Optimizer.state_dict`."""
        state = super().state_dict()
        return {**state, "optimizer": renamed(state["optimizer"], dict(enumerate(self.names)))}

    @property
    def grad_norm(self) -> float:
        """The gradient's norm at the last step, before it was clipped."""
        self.check_norms()
        return self._last_norm

    @property
    def skipped_in_row(self) -> int:
        """The number of steps skipped since the last one that was not."""
        self.check_norms()
        return self._in_row

    def step(self) -> None:
        """See :meth:`Optimizer.step`."""
        norm = self._norm()
        self._unchecked.append((self.training_step, norm))
        fused = all(group.get("fused") for group in self._optimizer.param_groups)
        checks_now = is_on_host(norm) or self.amp or not fused
        if checks_now or len(self._unchecked) == MAX_UNCHECKED:
            self.check_norms()
        if checks_now and self._in_row:
            self._decay_step += 1
            self._training_step += 1
            return
        if not checks_now:
            self._optimizer.found_inf = (~norm.isfinite()).float()  # for Adam's kernel
        limit = self._max_grad_norm
        if not self.amp:
            if limit > 0 and not (checks_now and norm.item() <= limit):
                torch.nn.utils.clip_grads_with_norm_(self._parameters(), limit, norm)
            self._max_grad_norm = 0  # OpenNMT-py would compute the norm again
        super().step()
        self._max_grad_norm = limit

    def check_norms(self) -> None:
        """Check the norms of the steps since the last check, and log which were skipped.

        Raises:
            UserError: if too many steps in a row were skipped.
        """
        steps, norms = [s for s, _ in self._unchecked], [n for _, n in self._unchecked]
        self._unchecked = []
        for step, norm in zip(steps, torch.stack(norms).tolist() if norms else [], strict=True):
            self._last_norm = norm
            # In half precision the scaler itself skips steps, while it looks for a scale.
            if self.amp or math.isfinite(norm):
                self._in_row = 0
                continue
            self.skipped += 1
            self._in_row += 1
            logger.warning(
                "Step %d: the gradient is not finite, and the step is skipped (%d so far)",
                *(step, self.skipped),
            )
            if self._in_row == MAX_SKIPPED:
                raise UserError(
                    f"step {step}: for {MAX_SKIPPED} steps in a row the gradient was not finite; "
                    f"train with a smaller -learning_rate, or a smaller -max_grad_norm; "
                    f"{self.last_checkpoint()}"
                )

    def _norm(self) -> Tensor:
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        scale = self._scaler.get_scale() if self.amp else 1.0
        return torch.nn.utils.get_total_norm(gradients) / scale

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]


class HistoryReports(ReportMgr):
    """OpenNMT-py's reports, each written to a history as well."""

    def __init__(self, stock: ReportMgr, history: History, optim: NormOptimizer) -> None:
        super().__init__(stock.report_every, tensorboard_writer=stock.tensorboard_writer)
        self.history = history
        self.optim = optim

    def _report_training(
        self, step: int, num_steps: int, learning_rate: float, patience: Any, stats: RateStatistics
    ) -> None:
        super()._report_training(step, num_steps, learning_rate, patience, stats)
        entry = self._entry("train", step, learning_rate, stats)
        self.history.append({**entry, "grad_norm": self.optim.grad_norm})

    def _report_step(
        self,
        lr: float,
        patience: Any,
        step: int,
        train_stats: RateStatistics | None = None,
        valid_stats: RateStatistics | None = None,
    ) -> None:
        super()._report_step(lr, patience, step, train_stats, valid_stats)
        if valid_stats is None:
            return
        entry = self._entry("valid", step, lr, valid_stats)
        if valid_stats.relaxed is not None:
            entry["relaxed_nll"] = valid_stats.relaxed.nll_bits()
            entry["relaxed_rate"] = valid_stats.relaxed.rate_bits()
        self.history.append(entry)

    def _entry(
        self, event: str, step: int, learning_rate: float, stats: RateStatistics
    ) -> dict[str, Any]:
        nll, rate = stats.nll_bits(), stats.rate_bits()
        return {
            "event": event,
            "step": step,
            "seconds": round(self.history.seconds + time.time() - self.start_time, 3),
            "tokens_per_second": round(stats.tokens_per_second(), 1),
            **{"nll": nll, "rate": rate, "total": nll + rate},
            "accuracy": stats.accuracy() / 100,
            "rate_weight": stats.rate_weight,
            "learning_rate": learning_rate,
        }
