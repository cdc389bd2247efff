"""Lattices as trellises, folded in two semirings.

The points of a lattice are the paths of one or several trellises: at each coordinate an edge allows
one class of numbers, offset + period·ℤ. Each class has a one-dimensional sum as its weight, and the
weights are folded along the paths: with (logaddexp, +) the result is log Θ, with (max, +) the
exponent of its largest term, the weighted distance to the nearest point.
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
    """The weight of the integers at one coordinate, and the addition of weights of paths.

    Attributes:
        line: maps ``(y, log_s)`` to the log weight of ℤ at y, elementwise.
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
    """A lattice that folds over its coordinates in any semiring; points are the last dimension."""

    @abstractmethod
    def _decode(self, x: Tensor) -> Tensor:
        """Return the nearest points of ``x`` ``(n, N)``, a layout for reductions along rows."""

    def _nearest(self, x: Tensor) -> Tensor:
        return self._decode(x.T.contiguous()).T

    @abstractmethod
    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Return ``(...)``, the total weight of the unit lattice at ``y`` ``(..., n)``."""

    def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        return self._fold(y, log_s, LOG_SUM)
