"""The order in which the symbols of a lattice point are coded, and the weights that condition them.

A code that weighs the point z by exp(−Σ (z_i − u_i)²/2s_i²) gives the next symbol, after a prefix
of symbols, the weight of all points that go on with it over the weight of all that go on at all.
Those of z's own symbols depend on y = z − u alone: the points z′ that share its prefix are z − λ,
λ in a sublattice, and so their weight is the sublattice's theta series at y. Coordinate by
coordinate that is the fold of the whole theta series, run backwards from the last coordinate.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from onmt_lattice.lattices.encoder import Encoder
from onmt_lattice.lattices.theta import log_theta_line, log_theta_parity


class CodingOrder(ABC):
    """The symbols of the points of a lattice at scale 1."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the steps, in coding order."""

    @abstractmethod
    def symbols(self, point: Tensor) -> Tensor:
        """Return ``(..., steps)`` int64, the symbols of ``point`` ``(..., n)``."""

    @abstractmethod
    def point(self, symbols: Tensor) -> Tensor:
        """Return ``(..., n)`` float64, the point of ``symbols`` ``(..., steps)``.

        Raises:
            ValueError: if there cannot be such a point.
        """


class CoordinateOrder(CodingOrder):
    """A coset, if there are several, and then coordinate by coordinate.

    Attributes:
        dim: n, the number of coordinates.
        cosets: number of values of the first symbol; with 1 there is no such symbol.
    """

    dim: int
    cosets: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the steps, in coding order."""
        coordinates = tuple(f"x{i}" for i in range(1, self.dim + 1))
        return ("coset", *coordinates) if self.cosets > 1 else coordinates

    @abstractmethod
    def log_completions(self, y: Tensor, log_s: Tensor) -> Tensor:
        """Return ``(..., n + 1)``, log weights at ``y = z − u`` of all that z may yet become.

        The k-th is the sum of exp(−Σ_{i > k} (z′_i − u_i)²/2s_i²) over the points z′ that share
        z's coset and its first k coordinates.
        """


class CosetOrder(CoordinateOrder):
    """A union of cosets of a rectangular or checkerboard lattice: unit·(c + period·k).

    The symbols are the index of c and the integers k, whose sum is even if ``even``: the last k
    has then the parity that is left.

    Args:
        offsets: ``(cosets, n)`` int64, the c, distinct modulo ``period``.
        unit: the length of 1 in them.
        period: the distance, in units, of the numbers at a coordinate of one coset.
        even: whether Σk has to be even.
    """

    def __init__(self, offsets: Tensor, unit: float, period: int, even: bool):
        self.cosets, self.dim = offsets.shape
        self.offsets, self.unit, self.period, self.even = offsets, unit, period, even

    def log_completions(self, y: Tensor, log_s: Tensor) -> Tensor:
        """See :meth:`CoordinateOrder.log_completions`."""
        step = self.unit * self.period
        y, log_s = y / step, log_s - math.log(step)
        if not self.even:
            weights = log_theta_line(y, log_s).unbind(-1)
            rest = [torch.zeros_like(weights[0])]
            for weight in reversed(weights):
                rest.append(rest[-1] + weight)
            return torch.stack(rest[::-1], -1)
        *earlier, (even, odd) = zip(
            *(w.unbind(-1) for w in log_theta_parity(y, log_s)), strict=True
        )
        rest = [torch.zeros_like(even), even]
        for e, o in reversed(earlier):
            even, odd = torch.logaddexp(e + even, o + odd), torch.logaddexp(e + odd, o + even)
            rest.append(even)
        return torch.stack(rest[::-1], -1)

    def symbols(self, point: Tensor) -> Tensor:
        """See :meth:`CodingOrder.symbols`."""
        x = (point.double() / self.unit).round().long()
        offsets = self.offsets.to(x.device)
        agreeing = self._residues(x) @ self._residues(offsets).T  # at how many coordinates
        coset = agreeing.argmax(-1)
        k = torch.div(x - offsets[coset], self.period, rounding_mode="floor")
        return torch.cat([coset[..., None], k], -1) if self.cosets > 1 else k

    def point(self, symbols: Tensor) -> Tensor:
        """See :meth:`CodingOrder.point`."""
        coset, k = symbols[..., 0] * (self.cosets > 1), symbols[..., -self.dim :]
        if (coset < 0).any() or (coset >= self.cosets).any():
            raise ValueError(f"coset symbol outside 0 … {self.cosets - 1}: expected one of these")
        return (self.offsets.to(symbols.device)[coset] + self.period * k).double() * self.unit

    def _residues(self, x: Tensor) -> Tensor:
        """Return ``(..., n·period)``, indicators of the residues of ``x`` ``(..., n)``."""
        return one_hot(x % self.period, self.period).flatten(-2).float()


class SectionOrder(CodingOrder):
    """The points of Construction A from a convolutional code, section by section of its trellis.

    The symbols are the state before the first section, as an index into those allowed; then for
    each section the encoder's input, and of each of two coordinates the integer k of c + qk, c the
    class mod q that the input allows.

    Args:
        encoder: of the code.
    """

    def __init__(self, encoder: Encoder):
        self.encoder = encoder

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the steps, in coding order."""
        sections = range(1, self.encoder.sections + 1)
        steps = [(f"input{t}", f"x{2 * t - 1}", f"x{2 * t}") for t in sections]
        return ("state", *(name for step in steps for name in step))

    def symbols(self, point: Tensor) -> Tensor:
        """See :meth:`CodingOrder.symbols`."""
        q, free = self.encoder.q, self.encoder.free
        x = point.double().round().long()
        message = self.encoder.message(x % q)
        k = torch.div(x - x % q, q, rounding_mode="floor").unflatten(-1, (-1, 2))
        inputs = torch.cat([message[..., free:], torch.zeros_like(message[..., :free])], -1)
        sections = torch.cat([inputs[..., None], k], -1).flatten(-2)
        return torch.cat([self._index(message[..., :free]), sections], -1)

    def point(self, symbols: Tensor) -> Tensor:
        """See :meth:`CodingOrder.point`."""
        q, free = self.encoder.q, self.encoder.free
        index, sections = symbols[..., :1], symbols[..., 1:].unflatten(-1, (-1, 3))
        before = (
            torch.div(index, q ** torch.arange(free).flip(0).to(index), rounding_mode="floor") % q
        )
        message = torch.cat([before, sections[..., 0]], -1)
        if (index != self._index(before)).any() or ((message < 0) | (message >= q)).any():
            raise ValueError(
                f"symbols {symbols.tolist()}: expected a state from 0 to {q**free - 1} "
                f"and inputs from 0 to {q - 1}"
            )
        if free and message[..., -free:].any():
            raise ValueError(f"symbols {symbols.tolist()}: expected 0 for the last {free} inputs")
        word = self.encoder.word(message[..., : self.encoder.sections])
        return (word + q * sections[..., 1:].flatten(-2)).double()

    def _index(self, before: Tensor) -> Tensor:
        """Return ``(..., 1)``, the number whose digits are the inputs ``before`` the first step."""
        powers = self.encoder.q ** torch.arange(self.encoder.free).flip(0).to(before)
        return (before * powers).sum(-1, keepdim=True)
