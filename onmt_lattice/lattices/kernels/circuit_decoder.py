"""Decoding by circuits, compiled by numba, one point in each lane of a vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onmt_lattice.lattices.kernels.compilation import compiled, helper, unsigned
from onmt_lattice.lattices.kernels.decoders import load_points, store_points
from onmt_lattice.lattices.kernels.simd import BYTES, if_less, load, rint, spread, store

ONE = np.uint64(1)


@compiled
def nearest_points(
    x: Any, scale: Any, farthest: Any, points: Any, unit: Any, period: Any, circuit: Any
) -> None:
    """Decode the words of ``circuit``, times unit; see :mod:`~.kernels.decoders`."""
    n, lanes = x.shape[1], BYTES // x.itemsize
    rows, residues = np.empty((n, lanes), x.dtype), np.empty((n, lanes), x.dtype)
    costs = np.empty((len(circuit.left), lanes), x.dtype)
    for begin in range(0, len(x), lanes):
        load_points(x, begin, scale, farthest, rows)
        _measure(rows, unit, period, costs)
        _fold(costs, period * n, circuit)
        _choose(costs, circuit, residues)
        for j in range(n):
            residue = load(residues, j)
            away = load(rows, j) - residue
            store(rows, j, (residue + rint(away / period) * period) * unit)
        store_points(rows, begin, scale, points)


@helper
def _measure(x: Any, unit: Any, period: Any, costs: Any) -> None:
    """Divide ``x`` by unit; set the first ``costs`` to its distances² over period² to residues."""
    n = len(x)
    for j in range(n):
        store(x, j, load(x, j) / unit)
    for residue in range(period):
        for j in range(n):
            away = (load(x, j) - residue) / period
            away = away - rint(away)
            store(costs, residue * n + j, away * away)


@helper
def _fold(costs: Any, row: Any, circuit: Any) -> None:
    """Set ``costs`` from ``row`` on by convolutions over (min, +), four terms at a time."""
    left, right = circuit.left, circuit.right
    while row < len(costs):
        order = circuit.orders[row]
        for c in range(0, order, 2):
            even, odd = spread(costs, math.inf), spread(costs, math.inf)
            for a in range(0, order, 2):
                f_row, g_row = unsigned(row + a), unsigned(row + (a ^ c))
                f, f1 = load(costs, left[f_row]), load(costs, left[f_row + ONE])
                g, g1 = load(costs, right[g_row]), load(costs, right[g_row + ONE])
                even = _lesser(even, _lesser(f + g, f1 + g1))
                odd = _lesser(odd, _lesser(f + g1, f1 + g))
            store(costs, row + c, even)
            store(costs, row + c + 1, odd)
        row += order


@helper
def _lesser(a: Any, b: Any) -> Any:
    """Return the lesser of two vectors, lane by lane."""
    return if_less(a, b, a, b)


@helper
def _choose(costs: Any, circuit: Any, residues: Any) -> None:
    """Set ``residues`` ``(n, lanes)`` to those of the word with the least of ``costs``."""
    ends, choices = circuit.ends, np.empty((1, costs.shape[1]), costs.dtype)
    least, choice = spread(costs, math.inf), spread(costs, 0.0)
    for k in range(len(ends)):
        cost = load(costs, ends[k, 0]) + load(costs, ends[k, 1])
        choice = if_less(cost, least, k, choice)
        least = _lesser(cost, least)
    store(choices, 0, choice)
    queue = np.empty(4 * len(residues), np.int64)
    for lane in range(costs.shape[1]):
        k = unsigned(int(choices[0, lane]))
        queue[0], queue[1] = ends[k, 0], ends[k, 1]
        _trace(costs, unsigned(lane), circuit, queue, residues)


@helper
def _trace(costs: Any, lane: Any, circuit: Any, queue: Any, residues: Any) -> None:
    """Set column ``lane`` of ``residues`` to those of the two rows at the head of ``queue``."""
    head, tail = 0, 2
    while head < tail:
        row = unsigned(queue[head])
        head += 1
        order, first = circuit.orders[row], circuit.firsts[row]
        left, right = circuit.left[row], circuit.right[row]
        if order == 0:
            residues[left, lane] = right
            continue
        for a in range(order):
            f, g = circuit.left[first + a], circuit.right[first + (a ^ (row - first))]
            matches = costs[f, lane] + costs[g, lane] == costs[row, lane]
            left, right = (f, g) if matches else (left, right)
        queue[tail], queue[tail + 1] = left, right
        tail += 2
