"""Sums over all words of a code, by its circuit, compiled by numba, with their gradients.

A weight is a number times 2^(256 e), with the whole number e stored beside it. At narrow scales the
weights of words span more than the range of float64, and only the last step shows which of them
matter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onmt_lattice.lattices.kernels.compilation import compiled, helper, unsigned
from onmt_lattice.lattices.kernels.simd import if_less, load, rint, spread, store
from onmt_lattice.lattices.kernels.theta import LANES, class_sums, exp

STEP = 2.0**256
LOG_STEP = 256 * math.log(2)


@compiled
def log_sums(y: Any, log_s: Any, period: Any, circuit: Any, values: Any, gradients: Any) -> None:
    """Set ``values`` ``(N,)`` to the logs of the total weights of all words.

    Args:
        y: ``(N, n)``, points.
        log_s: ``(N, n)``, logs of the scales.
        period: number of residues.
        circuit: that of the code.
        values: set.
        gradients: ``(2, N, n)``, set to the gradients in ``y`` and ``log_s``; or ``(2, 0, n)``, if
            not needed.
    """
    count, n = y.shape
    needs_gradients, leaves = gradients.shape[1] > 0, period * n
    rows = len(circuit.left), LANES
    numbers, powers, shares = np.empty(rows), np.empty(rows), np.empty(rows)
    points, scales = np.empty((n, LANES)), np.empty((n, LANES))
    slopes, top, total = np.empty((2 * leaves, LANES)), np.empty((1, LANES)), np.empty((2, LANES))
    for begin in range(0, count, LANES):
        lanes = min(LANES, count - begin)
        for lane in range(LANES):
            i = min(begin + lane, count - 1)
            for j in range(n):
                points[j, lane], scales[j, lane] = y[i, j], log_s[i, j]
        _weigh(points, scales, period, numbers, powers, slopes, top)
        _fold(numbers, powers, leaves, circuit)
        _total(numbers, powers, circuit.ends, total)
        for lane in range(lanes):
            values[begin + lane] = np.log(total[0, lane]) + LOG_STEP * total[1, lane] + top[0, lane]
        if needs_gradients:
            _share(numbers, powers, total, leaves, circuit, shares)
            for j in range(n):
                for argument in range(2):
                    slope = spread(top, 0.0)
                    for r in range(period):
                        row = (2 * j + argument) * period + r
                        slope = slope + load(shares, r * n + j) * load(slopes, row)
                    store(top, 0, slope)
                    for lane in range(lanes):
                        gradients[argument, begin + lane, j] = top[0, lane]


@helper
def _weigh(
    y: Any, log_s: Any, period: Any, numbers: Any, powers: Any, slopes: Any, top: Any
) -> None:
    """Set the weights of the residues at ``y`` ``(n, LANES)``, and ``slopes``.

    ``top`` ``(1, LANES)`` is set to the log of the common factor taken out of all products.
    """
    n, whole = len(y), spread(top, 0.0)
    sums, drops, bounds = np.empty((period, LANES)), np.empty((period, LANES)), np.empty((2, LANES))
    for j in range(n):
        row = 2 * j * period
        class_sums(load(y, j), load(log_s, j), period, sums, drops, slopes, row, bounds)
        whole = whole + load(bounds, 0)
        for r in range(period):
            drop = load(drops, r)
            power = rint(drop / LOG_STEP)
            store(numbers, r * n + j, load(sums, r) * exp(drop - LOG_STEP * power))
            store(powers, r * n + j, power)
    store(top, 0, whole)


@helper
def _fold(numbers: Any, powers: Any, row: Any, circuit: Any) -> None:
    """Set the weights from ``row`` on by convolutions over (+, ×)."""
    left, right = circuit.left, circuit.right
    while row < len(numbers):
        order = circuit.orders[row]
        for c in range(order):
            top, number = spread(numbers, -math.inf), spread(numbers, 0.0)
            for a in range(order):
                i, k = left[unsigned(row + a)], right[unsigned(row + (a ^ c))]
                top = _greater(top, load(powers, i) + load(powers, k))
            for a in range(order):
                i, k = left[unsigned(row + a)], right[unsigned(row + (a ^ c))]
                number = number + _product(numbers, powers, i, k, top)
            _store_rescaled(numbers, powers, row + c, number, top)
        row += order


@helper
def _greater(a: Any, b: Any) -> Any:
    """Return the greater of two vectors, lane by lane."""
    return if_less(a, b, b, a)


@helper
def _product(numbers: Any, powers: Any, i: Any, k: Any, power: Any) -> Any:
    """Return the product of two weights divided by 2^(256 power), or 0 if it is below 2^-512."""
    apart = load(powers, i) + load(powers, k) - power
    near = if_less(-0.5, apart, if_less(0.5, apart, STEP, 1.0), 1 / STEP)
    scale = if_less(-1.5, apart, near, if_less(-2.5, apart, 1 / STEP / STEP, 0.0))
    return load(numbers, i) * load(numbers, k) * scale


@helper
def _store_rescaled(numbers: Any, powers: Any, row: Any, number: Any, power: Any) -> None:
    """Store a weight with a number from 2^-300 to 2^300, rescaled to about 2^±128 at most."""
    small, large = 2.0**-128, 2.0**128
    step = if_less(number, small, -1.0, if_less(large, number, 1.0, 0.0))
    scale = if_less(number, small, STEP, if_less(large, number, 1 / STEP, 1.0))
    store(numbers, row, number * scale)
    store(powers, row, power + step)


@helper
def _total(numbers: Any, powers: Any, ends: Any, total: Any) -> None:
    """Set ``total`` ``(2, lanes)`` to the number and the power of the weight of all words."""
    top, number = spread(numbers, -math.inf), spread(numbers, 0.0)
    for k in range(len(ends)):
        top = _greater(top, load(powers, ends[k, 0]) + load(powers, ends[k, 1]))
    for k in range(len(ends)):
        number = number + _product(numbers, powers, ends[k, 0], ends[k, 1], top)
    store(total, 0, number)
    store(total, 1, top)


@helper
def _share(numbers: Any, powers: Any, total: Any, leaves: Any, circuit: Any, shares: Any) -> None:
    """Set ``shares`` to the share in the total of the words that contain each row."""
    left, right, ends = circuit.left, circuit.right, circuit.ends
    for row in range(len(shares)):
        store(shares, row, spread(shares, 0.0))
    number, power = load(total, 0), load(total, 1)
    for k in range(len(ends)):
        share = _product(numbers, powers, ends[k, 0], ends[k, 1], power) / number
        _add(shares, ends[k, 0], share)
        _add(shares, ends[k, 1], share)
    row = len(shares)
    while row > leaves:
        order = circuit.orders[unsigned(row - 1)]
        row -= order
        for c in range(order):
            power, factor = load(powers, row + c), load(shares, row + c) / load(numbers, row + c)
            for a in range(order):
                i, k = left[unsigned(row + a)], right[unsigned(row + (a ^ c))]
                share = _product(numbers, powers, i, k, power) * factor
                _add(shares, i, share)
                _add(shares, k, share)


@helper
def _add(rows: Any, row: Any, vector: Any) -> None:
    store(rows, row, load(rows, row) + vector)
