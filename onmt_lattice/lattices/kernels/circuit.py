"""The convolutions that weigh the words of a code, listed for kernels.

A circuit has rows of weights: first those of the residues of all coordinates, then the results of
each convolution over ℤ₂ᵏ. The structure of a code is thus written once and used twice:
:mod:`~onmt_lattice.lattices.convolution` convolves weights, this module records the convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows = npt.NDArray[np.uint32]


class Circuit(NamedTuple):
    """Convolutions h(c) = ⊕_a f(a) ⊗ g(a ⊕ c) of rows, each with a block of rows h.

    Attributes:
        left: ``(rows,)``, at the row of h(a) the row of f(a); at a residue's row its coordinate.
        right: ``(rows,)``, at the row of h(a) the row of g(a); at a residue's row the residue.
        firsts: ``(rows,)``, the row of h(0).
        orders: ``(rows,)``, the order of the group; 0 at residues.
        ends: ``(terms, 2)``, rows whose products sum to the weight of all words.
    """

    left: Rows
    right: Rows
    firsts: Rows
    orders: Rows
    ends: Rows


class Recorder:
    """Replaces a semiring; weights are the indices of rows.

    Args:
        period: number of residues of a coordinate; residue r of the i-th has row r·n + i.
        n: number of coordinates.
    """

    def __init__(self, period: int, n: int) -> None:
        residues, coordinates = torch.cartesian_prod(torch.arange(period), torch.arange(n)).T
        none = torch.zeros_like(residues)
        self.columns = [torch.stack([coordinates, residues, none, none])]
        self.rows = period * n

    def convolve(self, f: Tensor, g: Tensor) -> Tensor:
        """Record the convolution of rows ``(2^k, ...)``; return the rows of its result."""
        f, g = torch.broadcast_tensors(f, g)
        left, right = (v.flatten(1).T for v in (f, g))  # (blocks, order)
        rows = self.rows + torch.arange(left.numel()).view_as(left)
        self.rows += left.numel()
        firsts, orders = rows[:, :1].expand_as(rows), torch.full_like(rows, len(f))
        self.columns.append(torch.stack([left, right, firsts, orders]).flatten(1))
        return rows.T.reshape(f.shape)


def circuit(
    period: int, n: int, weigh: Callable[[Tensor, Recorder], tuple[Tensor, Tensor]]
) -> Circuit:
    """Return the circuit of a code.

    Args:
        period: see :class:`Recorder`.
        n: number of coordinates.
        weigh: returns two tensors ``(terms, 1)`` of rows, whose products sum to the weight of all
            words, of the rows ``(period, n, 1)`` of the residues.
    """
    recorder = Recorder(period, n)
    ends = weigh(torch.arange(period * n).view(period, n, 1), recorder)
    columns = torch.cat(recorder.columns, 1), torch.cat(ends, 1)
    rows, last = (v.numpy().astype(np.uint32) for v in columns)
    return Circuit(rows[0], rows[1], rows[2], rows[3], last)
