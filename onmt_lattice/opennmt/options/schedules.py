"""How the weight λ of the rate grows with the training step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from onmt_lattice.errors import UserError, unknown_name

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
class RateWeight:
    """λ as a function of the training step.

    Attributes:
        asymptote: the λ that the schedule tends to.
        schedule: a name in ``SCHEDULES``.
        midpoint: the step at which ``logistic`` and ``hyperbolic`` reach half the asymptote.
    """

    asymptote: float = 1.0
    schedule: str = "logistic"
    midpoint: int = 100_000

    def __post_init__(self) -> None:
        if not (math.isfinite(self.asymptote) and self.asymptote >= 0):
            raise UserError(f"-rate_weight {self.asymptote}: expected a number of at least 0")
        if self.midpoint <= 0:
            raise UserError(f"-rate_weight_midpoint {self.midpoint}: expected a positive step")
        if self.schedule not in SCHEDULES:
            raise unknown_name("rate weight schedule", self.schedule, SCHEDULES)

    def __call__(self, step: int) -> float:
        """Return λ at ``step``."""
        return self.asymptote * SCHEDULES[self.schedule](step / self.midpoint)
