"""Monte-Carlo means with their standard errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Estimate(NamedTuple):
    """A mean over independent samples, and its standard error."""

    mean: float
    standard_error: float

    def affine(self, factor: float, offset: float = 0.0) -> Estimate:
        """Return the estimate of factor · value + offset."""
        return Estimate(factor * self.mean + offset, abs(factor) * self.standard_error)

    def errors_from(self, value: float) -> float:
        """Return how many standard errors the mean lies above ``value``."""
        apart = self.mean - value
        return (
            apart / self.standard_error
            if self.standard_error > 0
            else math.copysign(math.inf if apart else 0.0, apart)
        )

    def text(self, form: str) -> str:
        """Return mean ± standard error, to two digits of the error whatever ``form``."""
        error = self.standard_error
        decimals = max(0, 1 - int(f"{error:.1e}".split("e")[1])) if error > 0 else 4
        return f"{self.mean:.{decimals}f} ± {error:.{decimals}f}"

    def json(self) -> dict[str, Any]:
        """Return both numbers by name."""
        return self._asdict()


def estimate(values: Tensor, controls: Tensor | None = None) -> Estimate:
    """Return the mean of independent ``values`` ``(N,)``, N at least 2.

    Args:
        values: the samples.
        controls: ``(N, k)`` control variates, of expectation 0. What of the values is linear in
            them is taken out, by least squares: the expectation stays (up to O(1/N), as the
            coefficients are fitted to the same samples) and the standard error falls.
    """
    import torch

    values = values.double()
    if controls is not None:
        controls = controls.double()
        apart = controls - controls.mean(0)
        fitted = torch.linalg.lstsq(apart, (values - values.mean())[:, None], driver="gelsd")
        values = values - (controls @ fitted.solution).squeeze(1)
    return Estimate(values.mean().item(), values.std().item() / math.sqrt(len(values)))
