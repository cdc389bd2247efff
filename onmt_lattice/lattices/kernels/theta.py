"""One-dimensional theta sums of the classes mod q, compiled by numba, with their derivatives.

The sums of :mod:`~onmt_lattice.lattices.theta`, by the same two series; for each class only the one
that converges fast is summed, and there is no autograd graph. The class c of ℤ at y is ℤ at
(y − c)/q and scale s/q. Each lane of a vector sums for one number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onmt_lattice.lattices.kernels.compilation import compiled, helper
from onmt_lattice.lattices.kernels.simd import BYTES, if_less, load, power_of_2, rint, size, store
from onmt_lattice.lattices.theta import HALF_LOG_2PI, LOG_CROSSING

LANES = BYTES // 8
TWO_PI = 2 * math.pi
MAX_EXPONENT = 708.0  # exp of ± this is a normal float64
LN_2 = 0.6931471803691238, 1.9082149292705877e-10  # high part (exact times 11 bits), low part
# Taylor's coefficients, highest first: of exp at |x| ≤ ½ log 2, of sin(2πx)/x in x² at |x| ≤ ¼.
EXP = tuple(1 / math.factorial(k) for k in range(13, -1, -1))
SINE = tuple(
    (-1) ** k * TWO_PI ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(11, -1, -1)
)


@compiled
def class_weights(
    y: Any, log_s: Any, q: Any, weights: Any, slopes: Any, tops: Any, spans: Any
) -> None:
    """Set ``weights`` ``(N, q)`` to the sums of the classes over exp of ``tops`` ``(N,)``.

    Args:
        y: ``(N,)``, numbers.
        log_s: ``(N,)``, logs of the scales.
        q: number of classes.
        weights: set; the largest of each number is between 0.9 and 2.1.
        slopes: ``(2, N, q)``, set to the derivatives of the logs of the sums in ``y`` and
            ``log_s``; or ``(2, 0, q)``, if not needed.
        tops: set.
        spans: ``(N,)``, set to bounds on the range of the logs of the weights.
    """
    needs_slopes = slopes.shape[1] > 0
    inputs, bounds = np.empty((2, LANES)), np.empty((2, LANES))
    sums, drops, steps = np.empty((q, LANES)), np.empty((q, LANES)), np.empty((2 * q, LANES))
    for begin in range(0, len(y), LANES):
        for lane in range(LANES):
            i = min(begin + lane, len(y) - 1)
            inputs[0, lane], inputs[1, lane] = y[i], log_s[i]
        class_sums(load(inputs, 0), load(inputs, 1), q, sums, drops, steps, 0, bounds)
        for c in range(q):
            store(sums, c, load(sums, c) * exp(load(drops, c)))
        for lane in range(min(LANES, len(y) - begin)):
            i = begin + lane
            tops[i], spans[i] = bounds[0, lane], bounds[1, lane]
            for c in range(q):
                weights[i, c] = sums[c, lane]
                if needs_slopes:
                    slopes[0, i, c], slopes[1, i, c] = steps[c, lane], steps[q + c, lane]


@helper
def class_sums(
    y: Any, log_s: Any, q: Any, sums: Any, drops: Any, slopes: Any, row: Any, bounds: Any
) -> None:
    """Set ``sums`` and ``drops``: the class c of a number has sums[c] · exp(drops[c] + top).

    Args:
        y: the numbers, a vector.
        log_s: logs of the scales.
        q: number of classes.
        sums: ``(q, LANES)``, set, to between 0.9 and 2.1.
        drops: ``(q, LANES)``, set; none is positive, and one is 0.
        slopes: rows of vectors, set from ``row`` on: q derivatives of the logs of the sums in
            ``y``, and q in ``log_s``.
        row: the first row of ``slopes``.
        bounds: ``(2, LANES)``, set to top, and to a bound on the range of the logs.
    """
    log_width = log_s - np.log(float(q))
    variance = exp(log_width + log_width)
    precision = 0.5 / variance
    store(bounds, 0, log_width)
    some_direct = some_dual = False
    for lane in range(LANES):
        direct = bounds[0, lane] < LOG_CROSSING
        some_direct, some_dual = some_direct or direct, some_dual or not direct
    near, far = y * 0.0 + 1.0, y * 0.0
    for c in range(q):
        r = _residue(y, c, q)
        near, far = if_less(r * r, near, r * r, near), if_less(far, r * r, r * r, far)
    for c in range(q):
        r = _residue(y, c, q)
        if some_direct:
            total, along, wider = _direct(r, precision)
            drop = (near - r * r) * precision
        if some_dual:
            total_2, along_2, wider_2 = _dual(r, variance)
            if some_direct:
                total = if_less(log_width, LOG_CROSSING, total, total_2)
                along = if_less(log_width, LOG_CROSSING, along, along_2)
                wider = if_less(log_width, LOG_CROSSING, wider, wider_2)
                drop = if_less(log_width, LOG_CROSSING, drop, 0.0)
            else:
                total, along, wider, drop = total_2, along_2, wider_2, total_2 * 0.0
        store(sums, c, total)
        store(drops, c, drop)
        store(slopes, row + c, along / q)
        store(slopes, row + q + c, wider)
    top = if_less(log_width, LOG_CROSSING, 0.0 - near * precision, log_width + HALF_LOG_2PI)
    store(bounds, 0, top)
    store(bounds, 1, (far - near) * precision)


@helper
def _residue(y: Any, c: Any, q: Any) -> Any:
    """Return (y − c)/q minus the nearest integer."""
    r = (y - c) / q
    return r - rint(r)


@helper
def _direct(r: Any, precision: Any) -> Any:
    """Return the sum divided by its term at 0, and the slopes of its log in r and log s.

    The slopes are means of k − r and (k − r)² over the terms k = −3 … 3 at |r| ≤ ½.
    """
    a, b = exp((2.0 * r - 1.0) * precision), exp((0.0 - 2.0 * r - 1.0) * precision)
    ab = a * b
    a2, b2 = a * a * ab, b * b * ab
    a3, b3 = a * a2 * ab * ab, b * b2 * ab * ab
    total = 1.0 + (a + b) + (a2 + b2) + (a3 + b3)
    u, v = 1.0 - r, 1.0 + r
    first = u * a - v * b + (u + 1.0) * a2 - (v + 1.0) * b2 + (u + 2.0) * a3 - (v + 2.0) * b3
    second = u * u * a + v * v * b + (u + 1.0) * (u + 1.0) * a2 + (v + 1.0) * (v + 1.0) * b2
    second = second + (u + 2.0) * (u + 2.0) * a3 + (v + 2.0) * (v + 2.0) * b3
    steep = 2.0 * precision / total
    return total, steep * (first - r), steep * (second + r * r)


@helper
def _dual(r: Any, variance: Any) -> Any:
    """Return the sum divided by √(2π)s, and the slopes of its log in r and log s."""
    decay = (-TWO_PI * math.pi) * variance
    q = exp(decay)
    q4 = q * q * q * q
    q9 = q4 * q4 * q
    away = size(r)
    c, s = sine(0.25 - away), sine(if_less(away, 0.25, away, 0.5 - away))
    s = if_less(r, 0.0, 0.0 - s, s)
    c2, c3 = 2.0 * c * c - 1.0, c * (4.0 * c * c - 3.0)
    s2, s3 = 2.0 * s * c, s * (4.0 * c * c - 1.0)
    total = 1.0 + 2.0 * (q * c + q4 * c2 + q9 * c3)
    along = (-2 * TWO_PI) * (q * s + 2.0 * q4 * s2 + 3.0 * q9 * s3)
    wider = 4.0 * decay * (q * c + 4.0 * q4 * c2 + 9.0 * q9 * c3)
    return total, along / total, 1.0 + wider / total


@helper
def exp(x: Any) -> Any:
    """Return e^x of a vector, to float64's precision; x is clipped to ±708."""
    x = if_less(x, -MAX_EXPONENT, -MAX_EXPONENT, if_less(MAX_EXPONENT, x, MAX_EXPONENT, x))
    whole = rint(x * (1 / math.log(2)))
    x = x - whole * LN_2[0] - whole * LN_2[1]
    power = x * EXP[0] + EXP[1]
    for k in range(2, len(EXP)):
        power = power * x + EXP[k]
    return power * power_of_2(whole)


@helper
def sine(x: Any) -> Any:
    """Return sin 2πx of a vector, |x| ≤ ¼, to float64's precision."""
    square = x * x
    power = square * SINE[0] + SINE[1]
    for k in range(2, len(SINE)):
        power = power * square + SINE[k]
    return power * x
