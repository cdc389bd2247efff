"""Nearest points of the small lattices, compiled by numba: the eager decoders, faster.

Each lane of a vector decodes one point. Each kernel maps points ``(N, n)`` of one floating dtype to
the nearest points of the lattice times ``scale``, in one pass. If a number of a point is NaN, or
more than ``farthest`` scales from 0, all numbers of the result are NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onmt_lattice.lattices.kernels.compilation import compiled, helper
from onmt_lattice.lattices.kernels.simd import (
    BYTES,
    floor,
    if_less,
    load,
    rint,
    size,
    spread,
    store,
)


@helper
def load_points(x: Any, begin: Any, scale: Any, farthest: Any, rows: Any) -> None:
    """Set ``rows`` ``(n, lanes)`` to the points of ``x`` from ``begin`` on, divided by scale.

    Lanes after the last point repeat it.
    """
    for lane in range(rows.shape[1]):
        for j in range(len(rows)):
            rows[j, lane] = x[min(begin + lane, len(x) - 1), j]
    lost = spread(rows, 0.0)
    for j in range(len(rows)):
        v = load(rows, j) / scale
        lost = lost + if_less(farthest, size(v), math.nan, v * 0.0)
        store(rows, j, v)
    for j in range(len(rows)):
        store(rows, j, load(rows, j) + lost)


@helper
def store_points(rows: Any, begin: Any, scale: Any, points: Any) -> None:
    """Set ``points`` from ``begin`` on to ``rows`` ``(n, lanes)`` times scale."""
    for j in range(len(rows)):
        store(rows, j, load(rows, j) * scale)
    for lane in range(min(rows.shape[1], len(points) - begin)):
        for j in range(len(rows)):
            points[begin + lane, j] = rows[j, lane]


@helper
def half_of_odd(number: Any) -> Any:
    """Return ½ for odd and 0 for even whole numbers of any size."""
    half = number * 0.5
    return half - floor(half)


@helper
def mend_parity(x: Any, points: Any, odd: Any) -> None:
    """Round the worst coordinate of ``x`` the other way where ``odd`` is 1."""
    worst = spread(x, 0.0)
    for j in range(len(x)):
        error = size(load(x, j) - load(points, j))
        worst = if_less(worst, error, error, worst)
    for j in range(len(x)):
        error = load(x, j) - load(points, j)
        step = if_less(size(error), worst, 0.0, odd)
        odd = odd - step
        store(points, j, load(points, j) + if_less(error, 0.0, 0.0 - step, step))


@compiled
def cubic(x: Any, scale: Any, farthest: Any, points: Any) -> None:
    """Decode ℤⁿ."""
    rows = np.empty((x.shape[1], BYTES // x.itemsize), x.dtype)
    for begin in range(0, len(x), rows.shape[1]):
        load_points(x, begin, scale, farthest, rows)
        for j in range(len(rows)):
            store(rows, j, rint(load(rows, j)))
        store_points(rows, begin, scale, points)


@compiled
def checkerboard(x: Any, scale: Any, farthest: Any, points: Any) -> None:
    """Decode D_n."""
    rows = np.empty((x.shape[1], BYTES // x.itemsize), x.dtype)
    nearest = np.empty(rows.shape, x.dtype)
    for begin in range(0, len(x), rows.shape[1]):
        load_points(x, begin, scale, farthest, rows)
        halves = spread(rows, 0.0)
        for j in range(len(rows)):
            point = rint(load(rows, j))
            halves = halves + half_of_odd(point)
            store(nearest, j, point)
        mend_parity(rows, nearest, 2.0 * (halves - floor(halves)))
        store_points(nearest, begin, scale, points)


@compiled
def e8(x: Any, scale: Any, farthest: Any, points: Any) -> None:
    """Decode E8."""
    rows = np.empty((8, BYTES // x.itemsize), x.dtype)
    nearest = np.empty(rows.shape, x.dtype)
    for begin in range(0, len(x), rows.shape[1]):
        load_points(x, begin, scale, farthest, rows)
        _round_to_e8(rows, nearest)
        store_points(nearest, begin, scale, points)


@helper
def _round_to_e8(x: Any, points: Any) -> None:
    """Set ``points`` ``(8, lanes)`` to the nearest of D8 and of D8 + (½, …, ½)."""
    none = spread(x, 0.0)
    total, worst, least, halves, halves_below = none, none, none + 1.0, none, none
    for j in range(8):
        v = load(x, j)
        point = rint(v)
        away = size(v - point)
        total = total + away
        worst = if_less(worst, away, away, worst)
        least = if_less(away, least, away, least)
        halves = halves + half_of_odd(point)
        halves_below = halves_below + half_of_odd(floor(v))
    odd = 2.0 * (halves - floor(halves))
    odd_below = 2.0 * (halves_below - floor(halves_below))
    total = total + (odd * (1.0 - 2.0 * worst) - 2.0 * odd_below * least)
    for j in range(8):
        v = load(x, j)
        store(points, j, if_less(2.0, total, floor(v) + 0.5, rint(v)))
    mend_parity(x, points, if_less(2.0, total, odd_below, odd))


@compiled
def simplex(x: Any, scale: Any, farthest: Any, points: Any) -> None:
    """Decode A_n: round in n + 1 coordinates, and mend their sum where that costs least."""
    n, lanes = x.shape[1], BYTES // x.itemsize
    rows, embedded = np.empty((n, lanes), x.dtype), np.empty((n + 1, lanes), x.dtype)
    nearest = np.empty(embedded.shape, x.dtype)
    for begin in range(0, len(x), lanes):
        load_points(x, begin, scale, farthest, rows)
        total = spread(rows, 0.0)
        for j in range(n, 0, -1):
            v = load(rows, j - 1) / _side(x, j)
            store(embedded, j, total - j * v)
            total = total + v
        store(embedded, 0, total)
        _round_to_simplex(embedded, nearest)
        total = spread(rows, 0.0)
        for j in range(1, n + 1):
            total = total + load(nearest, j - 1)
            store(rows, j - 1, (total - j * load(nearest, j)) / _side(x, j))
        store_points(rows, begin, scale, points)


@helper
def _side(x: Any, j: Any) -> Any:
    """Return √(j(j + 1)) in the dtype of ``x``."""
    return np.sqrt(x.dtype.type(j * (j + 1)))


@helper
def _round_to_simplex(x: Any, points: Any) -> None:
    """Set ``points`` ``(n + 1, lanes)`` to the nearest integers to ``x`` whose sum is 0."""
    n = len(x) - 1
    excess = spread(x, 0.0)
    for i in range(n + 1):
        point = rint(load(x, i))
        excess = excess + point
        store(x, i, load(x, i) - point)
        store(points, i, point)
    for i in range(n + 1):
        error, rank = load(x, i), spread(x, 0.0)
        for k in range(i):
            rank = rank + if_less(error, load(x, k), 0.0, 1.0)
        for k in range(i + 1, n + 1):
            rank = rank + if_less(load(x, k), error, 1.0, 0.0)
        point = load(points, i) - if_less(rank, excess, 1.0, 0.0)
        store(points, i, point + if_less(excess + n, rank, 1.0, 0.0))
