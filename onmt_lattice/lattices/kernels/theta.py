"""One-dimensional theta sums of the classes mod q, compiled by numba, with their derivatives.

What :mod:`~onmt_lattice.lattices.theta` sums eagerly, by the same two readings: of a class only
the one that counts is summed, and nothing is kept for a graph. The class c of ℤ at y is the whole
of ℤ at (y − c)/q and scale s/q.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onmt_lattice.compilation import compiled, helper
from onmt_lattice.lattices.theta import HALF_LOG_2PI, LOG_CROSSING

TWO_PI = 2 * math.pi


@compiled
def class_weights(
    y: Any, log_s: Any, ways: Any, weights: Any, slopes: Any, tops: Any, spans: Any
) -> None:
    """Set ``weights`` ``(N, n, q)`` to the sums of the classes over exp of ``tops`` ``(N, n)``.

    Args:
        y: ``(N, n)``, points.
        log_s: ``(N, n)``, logs of the scales.
        ways: (0, …, q − 1).
        weights: set; the largest of each coordinate is between 0.9 and 2.1.
        slopes: ``(2, N, n, q)``, set to the derivatives of the logs of the sums in ``y`` and
            ``log_s``; or ``(2, 0, n, q)``, if not wanted.
        tops: set.
        spans: ``(N, n)``, set to bounds on how far apart the logs of the weights are.
    """
    q, wanted = len(ways), slopes.shape[1] > 0
    drops, steps = np.empty(q), np.empty((2, q))
    for i in range(len(y)):
        for j in range(y.shape[1]):
            tops[i, j], spans[i, j] = class_sums(
                y[i, j], log_s[i, j], q, weights[i, j], drops, steps
            )
            for c in range(q):
                weights[i, j, c] *= np.exp(drops[c])
                if wanted:
                    slopes[0, i, j, c], slopes[1, i, j, c] = steps[0, c], steps[1, c]


@helper
def class_sums(y: Any, log_s: Any, q: Any, sums: Any, drops: Any, slopes: Any) -> Any:
    """Return the log of which the class c of a number has ``sums[c]`` times exp of ``drops[c]``.

    Returned is a bound, too, on how far apart the logs are.

    Args:
        y: the number.
        log_s: log of the scale.
        q: number of classes.
        sums: ``(q,)``, set, to between 0.9 and 2.1.
        drops: ``(q,)``, set; none is positive, and one is 0.
        slopes: ``(2, q)``, set to the derivatives of the logs of the sums in ``y`` and ``log_s``.
    """
    log_width = log_s - np.log(float(q))
    variance = np.exp(2 * log_width)
    precision = 0.5 / variance
    near, far = 1.0, 0.0
    for c in range(q):
        square = _residue(y, c, q) ** 2
        near, far = min(near, square), max(far, square)
    direct = log_width < LOG_CROSSING
    for c in range(q):
        r = _residue(y, c, q)
        if direct:
            sums[c], along, wider = _direct(r, precision)
            drops[c] = (near - r * r) * precision
        else:
            sums[c], along, wider = _dual(r, variance)
            drops[c] = 0.0
        slopes[0, c], slopes[1, c] = along / q, wider
    top = -near * precision if direct else log_width + HALF_LOG_2PI
    return top, (far - near) * precision


@helper
def _residue(y: Any, c: Any, q: Any) -> Any:
    """Return (y − c)/q less the integer nearest to it."""
    r = (y - c) / q
    return r - np.rint(r)


@helper
def _direct(r: Any, precision: Any) -> Any:
    """Return the sum over its term at 0, and the slopes of its log in r and log s.

    Those are means over the terms k = −3 … 3 at |r| ≤ ½, of k − r and (k − r)².
    """
    a, b = np.exp((2 * r - 1) * precision), np.exp((-2 * r - 1) * precision)
    ab = a * b
    a2, b2 = a * a * ab, b * b * ab
    a3, b3 = a * a2 * ab * ab, b * b2 * ab * ab
    total = 1 + (a + b) + (a2 + b2) + (a3 + b3)
    first = (1 - r) * a - (1 + r) * b + (2 - r) * a2 - (2 + r) * b2 + (3 - r) * a3 - (3 + r) * b3
    second = (1 - r) ** 2 * a + (1 + r) ** 2 * b + (2 - r) ** 2 * a2 + (2 + r) ** 2 * b2
    second += (3 - r) ** 2 * a3 + (3 + r) ** 2 * b3
    steep = 2 * precision / total
    return total, steep * (first - r), steep * (second + r * r)


@helper
def _dual(r: Any, variance: Any) -> Any:
    """Return the sum over √(2π)s, and the slopes of its log in r and log s."""
    decay = -TWO_PI * math.pi * variance
    q = np.exp(decay)
    q4 = q * q * q * q
    q9 = q4 * q4 * q
    c, s = np.cos(TWO_PI * r), np.sin(TWO_PI * r)
    c2, c3 = 2 * c * c - 1, c * (4 * c * c - 3)
    s2, s3 = 2 * s * c, s * (4 * c * c - 1)
    total = 1 + 2 * (q * c + q4 * c2 + q9 * c3)
    along = -2 * TWO_PI * (q * s + 2 * q4 * s2 + 3 * q9 * s3)
    wider = 4 * decay * (q * c + 4 * q4 * c2 + 9 * q9 * c3)
    return total, along / total, 1 + wider / total
