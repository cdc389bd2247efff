"""Codes on the points of a dithered lattice: P(Ẑ = z | U = u), for coder and training alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from onmt_lattice.lattices import Lattice
from onmt_lattice.lattices.registry import Registry
from onmt_lattice.noise import Noise


class LatticeCode(ABC):
    """A code on the points of one lattice, given a prior scale s for each coordinate.

    Given the dither u, the probability of the lattice point z depends on y = z − u alone.
    :meth:`log_prob` of y therefore has two uses. At y = Z − U it is the negative length of the
    codeword. At y = X − U, which has the same law given X (the Crypto-Lemma), its negative is the
    training rate log f_U(U) − log f_{X̂−U}(X − U) of the paper's Theorem 1.

    Args:
        lattice: Λ, at the scale of its coded points.

    Attributes:
        min_log_s, max_log_s: log s is clamped to these bounds. At the lower one a coordinate at
            μ = 0 costs less than 10⁻⁷ nats, at the upper one 23 bits.
    """

    name: ClassVar[str]
    min_log_s: ClassVar[float] = -16.0
    max_log_s: ClassVar[float] = 16.0

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice

    def _clamped(self, log_s: Tensor) -> Tensor:
        """Return ``log_s`` in float64, within its bounds."""
        return log_s.double().clamp(self.min_log_s, self.max_log_s)

    @abstractmethod
    def log_prob(self, y: Tensor, log_s: Tensor, noise: Noise) -> Tensor:
        """Return log P(Ẑ = z | U = u) in nats at y = z − u.

        Args:
            y: ``(batch, blocks, n)``; any real point, not only z − u.
            log_s: ``(blocks, n)``, or broadcastable to it: log of the prior scales.
            noise: source of random numbers, for codes that need any.

        Returns:
            ``(batch, blocks)`` float64, differentiable in ``y`` and ``log_s``.
        """


_CODES: Registry[LatticeCode] = Registry("lattice code", LatticeCode)


def register_code(cls: type[LatticeCode]) -> type[LatticeCode]:
    """Class decorator: make a code available to ``make_code`` under ``cls.name``.

    Raises:
        TypeError: if ``cls`` is not a :class:`LatticeCode` or has no name.
        ValueError: if the name is taken.
    """
    _CODES.add(getattr(cls, "name", None), cls)
    return cls


def code_names() -> list[str]:
    """Return the names that :func:`make_code` takes."""
    return _CODES.names()


def make_code(name: str, lattice: Lattice) -> LatticeCode:
    """Return the code ``name`` on the points of ``lattice``; see :class:`LatticeCode`.

    Raises:
        UserError: if no code has that name.
    """
    return _CODES[name](lattice)
