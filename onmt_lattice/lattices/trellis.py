"""One structure, two semirings.

The points of a lattice are the paths of a trellis, or of several: at each coordinate an edge
allows one class of numbers, offset + period·ℤ. Weigh each class by a one-dimensional sum and fold
the weights along the paths: with (logaddexp, +) that is log Θ, with (max, +) the exponent of its
largest term, which is the weighted distance to the nearest point.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from onmt_lattice.lattices.base import Lattice
from onmt_lattice.lattices.theta import log_peak_line, log_theta_line


class Semiring(NamedTuple):
    """How to weigh the integers at one coordinate, and how to add the weights of paths.

    Attributes:
        line: ``(y, log_s)`` to the log weight of ℤ at y, elementwise.
        add: adds the log weights of two paths.
        total: adds the log weights along one dimension.
    """

    line: Callable[[Tensor, Tensor], Tensor]
    add: Callable[[Tensor, Tensor], Tensor]
    total: Callable[[Tensor, int], Tensor]

    def classes(
        self, y: Tensor, log_s: Tensor, offsets: tuple[float, ...], period: float
    ) -> Tensor:
        """Return ``(len(offsets), *y.shape)``, the log weights of offset + period·ℤ at ``y``."""
        at = torch.stack([(y - offset) / period for offset in offsets])
        return self.line(at, log_s - math.log(period))


LOG_SUM = Semiring(log_theta_line, torch.logaddexp, torch.logsumexp)
MAX = Semiring(log_peak_line, torch.maximum, torch.amax)


class TrellisLattice(Lattice):
    """A lattice that folds over its coordinates in any semiring, and decodes points last."""

    @abstractmethod
    def _decode(self, x: Tensor) -> Tensor:
        """Return the nearest points of ``x`` ``(n, N)``: so reductions run along whole rows."""

    def _nearest(self, x: Tensor) -> Tensor:
        return self._decode(x.T.contiguous()).T

    @abstractmethod
    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Return ``(...)``, the total weight of the unit lattice at ``y`` ``(..., n)``."""

    def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        return self._fold(y, log_s, LOG_SUM)
