"""How the weight λ of the rate grows with the training step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from onmt_lattice.config import COUNT, Config, Range, option

# λ(0) = 0.0067 of the asymptote: near 0, and 0.5 at the midpoint.
LOGISTIC_STEEPNESS = 5.0


def constant(progress: float) -> float:
    """Return 1 always."""
    return 1.0


def logistic(progress: float) -> float:
    """Return 1/(1 + exp(−5(t − 1))) at t midpoints: near 0, then 0.5 at t = 1, then 1."""
    return 1.0 / (1.0 + math.exp(LOGISTIC_STEEPNESS * (1.0 - progress)))


def hyperbolic(progress: float) -> float:
    """Return t/(1 + t) at t midpoints: 0 at the start, 0.5 at t = 1, 1 in the limit."""
    return progress / (1.0 + progress)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "logistic": logistic,
    "hyperbolic": hyperbolic,
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
        "what lambda tends to; NLL and rate are in the same unit",
        range=Range(0),
        name="rate_weight",
    )
    schedule: str = option(
        "logistic",
        "how lambda gets there; logistic: near 0 at first, half at the midpoint",
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
