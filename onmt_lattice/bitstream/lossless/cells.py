"""The cells of recurrent networks in integers, in steps of 2⁻²⁰, compiled by numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onmt_lattice.bitstream.kernels import weight
from onmt_lattice.bitstream.logarithms import EXP, UNIT
from onmt_lattice.lattices.kernels.compilation import compiled, helper

ONE = 1 << UNIT
MAX_SUM = 2.0**40  # steps, to which a sum of inputs is clipped


@helper
def whole(x: Any) -> Any:
    """Return a floating-point number of steps as an integer."""
    return np.int64(math.floor(min(max(x, -MAX_SUM), MAX_SUM)))


@helper
def sigmoid(x: Any, exp: Any) -> Any:
    """Return 1/(1 + e^−x)."""
    above = (1 << (EXP + UNIT)) // ((1 << EXP) + weight(abs(x), exp))
    return above if x >= 0 else ONE - above


@helper
def tanh(x: Any, exp: Any) -> Any:
    """Return tanh x, from the sigmoid of 2x."""
    return 2 * sigmoid(2 * x, exp) - ONE


@helper
def times(a: Any, b: Any) -> Any:
    """Return the product of two numbers, rounded down."""
    return (a * b) >> UNIT


@compiled
def gru(inputs: Any, hidden: Any, before: Any, exp: Any, after: Any) -> None:
    """Set ``after`` ``(rows, H)`` to the states of gated recurrent units (Cho et al., 2014).

    Args:
        inputs: ``(rows, 3H)``, W_i x + b_i of the gates r, z and n, as torch orders them.
        hidden: ``(rows, 3H)``, W_h h + b_h.
        before: ``(rows, H)``, h.
        exp: the table.
        after: set to whole numbers.
    """
    size = before.shape[1]
    for p in range(len(before)):
        for i in range(size):
            r = sigmoid(whole(inputs[p, i] + hidden[p, i]), exp)
            z = sigmoid(whole(inputs[p, size + i] + hidden[p, size + i]), exp)
            reset = times(r, whole(hidden[p, 2 * size + i]))
            n = tanh(whole(inputs[p, 2 * size + i]) + reset, exp)
            after[p, i] = n + times(z, np.int64(before[p, i]) - n)


@compiled
def lstm(inputs: Any, hidden: Any, cell: Any, exp: Any, after: Any) -> None:
    """Set ``after`` ``(rows, H)`` and ``cell`` ``(rows, H)`` to the states of LSTM units.

    Args:
        inputs: ``(rows, 4H)``, W_i x + b_i of the gates i, f, g and o, as torch orders them.
        hidden: ``(rows, 4H)``, W_h h + b_h.
        cell: the cells, whole numbers; set.
        exp: the table.
        after: set to whole numbers.
    """
    size = cell.shape[1]
    for p in range(len(cell)):
        for i in range(size):
            gate = sigmoid(whole(inputs[p, i] + hidden[p, i]), exp)
            forget = sigmoid(whole(inputs[p, size + i] + hidden[p, size + i]), exp)
            g = tanh(whole(inputs[p, 2 * size + i] + hidden[p, 2 * size + i]), exp)
            out = sigmoid(whole(inputs[p, 3 * size + i] + hidden[p, 3 * size + i]), exp)
            new_cell = times(forget, np.int64(cell[p, i])) + times(gate, g)
            cell[p, i] = new_cell
            after[p, i] = times(out, tanh(new_cell, exp))
