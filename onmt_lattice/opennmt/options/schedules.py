"""The weight λ of the rate as a function of the training step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from onmt_lattice.config import COUNT, Config, Range, option

# λ over its asymptote, after t midpoints: 0.5 at t = 1. The logistic one begins at 0.0067.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda t: 1.0,
    "logistic": lambda t: 1.0 / (1.0 + math.exp(5.0 * (1.0 - t))),
    "hyperbolic": lambda t: t / (1.0 + t),
}


@dataclass(frozen=True)
class RateWeight(Config):
    """λ as a function of the training step.

    Attributes:
        asymptote: the λ that the schedule tends to.
        schedule: a name in ``SCHEDULES``.
        midpoint: the step at which ``logistic`` and ``hyperbolic`` reach half the asymptote.
    """

    asymptote: float = option(
        1.0,
        "limit of lambda; NLL and rate are in the same unit",
        range=Range(0),
        name="rate_weight",
    )
    schedule: str = option(
        "logistic",
        "schedule of lambda; logistic: near 0 at first, half at the midpoint",
        list(SCHEDULES),
        name="rate_weight_schedule",
    )
    midpoint: int = option(
        100_000,
        "training step at which lambda is half of -rate_weight",
        range=COUNT,
        name="rate_weight_midpoint",
    )

    def __call__(self, step: int) -> float:
        """Return λ at ``step``."""
        return self.asymptote * SCHEDULES[self.schedule](step / self.midpoint)
