"""Folds along the trellis of a convolutional code, compiled by numba: the eager ones, faster.

The trellis has S = q^ν states and T sections. An edge enters state s′ from its d-th predecessor,
s′ div q + d·S/q, and has one class mod q at each of two coordinates: ``labels[s′, d]`` is
q·first + second. Paths begin in a state of ``starts`` and end in one of ``ends``; these are bytes,
1 for an allowed state.

Each lane of a vector folds one point. ``ways`` is the tuple (0, …, q − 1); the compiler knows its
length and unrolls the loops over predecessors. The kernels release the interpreter's lock. Nearest
points are computed in whole numbers, 16 points at a time; ν is at least 2. Theta series are summed
in float64, 8 at a time, in the linear domain, each section divided by its total.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onmt_lattice.lattices.kernels.compilation import compiled, helper
from onmt_lattice.lattices.kernels.simd import (
    BYTES,
    if_less,
    load,
    rint,
    spread,
    store,
    store_as,
)

LANES = BYTES // 8
POINTS = BYTES // 4  # lanes of int32, in which nearest points are computed
UNIT = 2**20  # a squared distance of 1
NEVER = 128 * UNIT  # more than the cost of any ν + 1 sections, each at most q²/2
BITS = 3  # low bits of a metric, for the index of a predecessor
WAYS = 2**BITS


@helper
def vectors(count: Any) -> Any:
    """Return an array ``(count, LANES)`` of vectors, each within one cache line."""
    numbers = np.empty((count + 1) * LANES)
    skip = -(numbers.ctypes.data // numbers.itemsize) % LANES
    return numbers[skip : skip + count * LANES].reshape(count, LANES)


@helper
def _metrics(count: Any) -> Any:
    """Return an array ``(count, POINTS)`` int32 of vectors of metrics."""
    return vectors(count).view(np.int32)


@compiled
def nearest_points(x: Any, labels: Any, starts: Any, ends: Any, ways: Any, points: Any) -> None:
    """Set ``points`` ``(N, n)`` to the nearest points of ``x`` ``(N, n)``: Viterbi's algorithm.

    The squared distance at each coordinate is rounded to units; everything after that is exact.
    """
    count, n = x.shape
    lanes, costs = vectors(2 * n).reshape(n, POINTS), _metrics(n * len(ways))
    old, new, pairs = _metrics(len(labels)), _metrics(len(labels)), _metrics(len(ways) ** 2)
    choices = np.empty((n // 2, len(labels) // len(ways), POINTS), dtype=np.int16)
    for begin in range(0, count, POINTS):
        for i in range(n):
            for lane in range(POINTS):
                lanes[i, lane] = x[min(begin + lane, count - 1), i]
        _class_costs(lanes, ways, costs)
        for s in range(len(labels)):
            way = s // (len(labels) // len(ways))
            store(old, s, spread(old, way if starts[s] else NEVER * WAYS + way))
        for t in range(len(choices)):
            _pair_costs(costs, t, load(old, 0), ways, pairs)
            _relax(old, new, labels, ways, pairs, choices[t])
            old, new = new, old
        for lane in range(min(POINTS, count - begin)):
            end, least = np.int64(0), np.int64(2**31)  # literals would have types of their own
            for s in range(len(labels)):
                if ends[s] and old[s, lane] < least:
                    end, least = np.int64(s), np.int64(old[s, lane])
            _trace(lanes, lane, end, choices, labels, ways, points[begin + lane])


@helper
def _class_costs(x: Any, ways: Any, costs: Any) -> None:
    """Set ``costs`` ``(n·q, POINTS)`` to the squared distances of ``x`` to the classes."""
    for i in range(len(x)):
        for a in range(len(ways)):
            for half in range(2):
                u = (load(x, 2 * i + half) - a) / len(ways)
                u = (u - rint(u)) * len(ways)
                cost = rint(u * u * UNIT) * WAYS
                row = 2 * (i * len(ways) + a) + half
                store_as(costs, row, if_less(cost, NEVER * WAYS, cost, 0.0))  # 0 for NaN


@helper
def _pair_costs(costs: Any, t: Any, reference: Any, ways: Any, pairs: Any) -> None:
    """Set ``pairs`` ``(q², POINTS)`` to costs of labels in section ``t`` minus ``reference``."""
    q = len(ways)
    for a in range(q):
        first = load(costs, 2 * t * q + a) - reference
        for b in range(q):
            store(pairs, a * q + b, first + load(costs, (2 * t + 1) * q + b))


@helper
def _relax(old: Any, new: Any, labels: Any, ways: Any, pairs: Any, choices: Any) -> None:
    """Set ``new`` ``(S, POINTS)`` to the least costs of paths one section longer than ``old``.

    Each state is the d-th predecessor of all its successors. d is in the low bits of its metric, so
    that the least sum contains the index of its edge; of equal sums the first edge is the least.
    ``choices`` ``(S/q, POINTS)`` is set to the d of q states each, the last one lowest.
    """
    q = len(ways)
    step = len(labels) // q
    for way in range(q):
        for group in range(way * step // q, (way + 1) * step // q):
            entered = spread(old, 0)
            for s in range(group * q, group * q + q):
                best = load(old, group) + load(pairs, labels[s, 0])
                for d in range(1, q):
                    cost = load(old, group + d * step) + load(pairs, labels[s, d])
                    best = if_less(cost, best, cost, best)
                entered = entered * WAYS + (best & (WAYS - 1))
                store(new, s, (best & -WAYS) + way)
            store_as(choices, group, entered)


@helper
def _trace(x: Any, lane: Any, state: Any, choices: Any, labels: Any, ways: Any, point: Any) -> None:
    """Set ``point`` ``(n,)`` to the nearest point on ``lane``'s best path to ``state``."""
    q = len(ways)
    for t in range(len(choices) - 1, -1, -1):
        way = np.int64(choices[t, state // q, lane]) >> BITS * (q - 1 - state % q) & (WAYS - 1)
        first, second = labels[state, way] // q, labels[state, way] % q
        point[2 * t] = first + q * np.rint((x[2 * t, lane] - first) / q)
        point[2 * t + 1] = second + q * np.rint((x[2 * t + 1, lane] - second) / q)
        state = state // q + way * (len(labels) // q)


@compiled
def log_sums(
    weights: Any,
    labels: Any,
    starts: Any,
    ends: Any,
    ways: Any,
    values: Any,
    posteriors: Any,
    masses: Any,
) -> None:
    """Set ``values`` ``(N,)`` to the logs of the total weights of all paths.

    Args:
        weights: ``(N, n, q)``, of the classes of each coordinate, the largest of them about 1.
        labels: of the edges.
        starts: states to begin in.
        ends: states to end in.
        ways: (0, …, q − 1).
        values: ``(N,)``, set.
        posteriors: ``(N, n, q)``, set to the share that the paths of each class have in the
            total, which is the gradient in the logs of the weights; or empty, if not needed.
        masses: ``(N,)``, set with ``posteriors``: the smallest total of shares, over the sections,
            before they are normalised. Where it is tiny, terms rounded to 0 may matter.
    """
    count, n, q = weights.shape
    needs_posteriors = len(posteriors) > 0
    lanes = vectors(n * q).reshape(n, q, LANES)
    rows = n // 2 + 1 if needs_posteriors else 2
    alpha = vectors(rows * len(labels)).reshape(-1, len(labels), LANES)
    totals, mass = vectors(n // 2 + 1), vectors(1)
    posterior = vectors(n * q).reshape(n, q, LANES)
    for begin in range(0, count, LANES):
        for lane in range(LANES):
            for i in range(n):
                for c in range(q):
                    lanes[i, c, lane] = weights[min(begin + lane, count - 1), i, c]
        _forward(lanes, labels, starts, ends, ways, alpha, totals)
        if needs_posteriors:
            _backward(lanes, labels, ends, ways, alpha, posterior, mass)
        for lane in range(min(LANES, count - begin)):
            value = 0.0
            for t in range(len(totals)):
                value += np.log(totals[t, lane])
            values[begin + lane] = value
            if needs_posteriors:
                masses[begin + lane] = mass[0, lane]
                for i in range(n):
                    for c in range(q):
                        posteriors[begin + lane, i, c] = posterior[i, c, lane]


@helper
def _pair_weights(weights: Any, t: Any, ways: Any, total: Any, pairs: Any) -> None:
    """Set ``pairs`` ``(q², LANES)`` to weights of the labels of section ``t``, over ``total``."""
    q = len(ways)
    for a in range(q):
        for b in range(q):
            both = load(weights, 2 * t * q + a) * load(weights, (2 * t + 1) * q + b)
            store(pairs, a * q + b, both / total)


@helper
def _forward(
    weights: Any, labels: Any, starts: Any, ends: Any, ways: Any, alpha: Any, totals: Any
) -> None:
    """Weigh the paths from starts, section by section, and in the last one those that end in ends.

    ``alpha`` ``(T + 1 or 2, S, LANES)`` is set to the weights of the paths to each state, divided
    by the total of the section before; ``totals`` ``(T + 1, LANES)`` to their own totals, whose
    product is the weight of all paths.
    """
    step, rows = len(labels) // len(ways), len(alpha)
    pairs = vectors(len(ways) * len(ways))
    for s in range(len(labels)):
        store(alpha[0], s, spread(pairs, float(starts[s])))
    store(totals, 0, spread(pairs, 1.0))
    for t in range(len(weights) // 2):
        _pair_weights(weights, t, ways, load(totals, t), pairs)
        old, new = alpha[t % rows], alpha[(t + 1) % rows]
        last = 2 * t + 2 == len(weights)
        total = spread(pairs, 0.0)
        for s in range(len(labels)):
            paths = load(old, s // len(ways)) * load(pairs, labels[s, 0])
            for d in range(1, len(ways)):
                before = load(old, s // len(ways) + d * step)
                paths = paths + before * load(pairs, labels[s, d])
            store(new, s, paths)
            if not last or ends[s]:
                total = total + paths
        store(totals, t + 1, total)


@helper
def _backward(
    weights: Any,
    labels: Any,
    ends: Any,
    ways: Any,
    alpha: Any,
    posterior: Any,
    mass: Any,
) -> None:
    """Set ``posterior`` ``(n, q, LANES)`` to the shares of the classes.

    ``alpha`` is that of :func:`_forward`; ``mass`` ``(1, LANES)`` is set to ``masses``.
    """
    q, states = len(ways), len(labels)
    pairs, shares = vectors(q * q), vectors(q * q)
    beta, ahead = vectors(states), vectors(states)
    total = spread(pairs, 1.0)
    for s in range(states):
        store(ahead, s, spread(pairs, float(ends[s])))
    store(mass, 0, spread(mass, 1.0))
    for t in range(len(weights) // 2 - 1, -1, -1):
        _pair_weights(weights, t, ways, total, pairs)
        _edges(alpha[t], beta, ahead, labels, ways, pairs, shares)
        beta, ahead = ahead, beta
        total = spread(pairs, 0.0)
        for s in range(states):
            total = total + load(ahead, s)
        _marginals(shares, ways, posterior[2 * t], posterior[2 * t + 1], mass)


@helper
def _edges(
    alpha: Any, beta: Any, ahead: Any, labels: Any, ways: Any, pairs: Any, shares: Any
) -> None:
    """Set ``beta`` to the weights onward from each state, and ``shares`` to those by label."""
    step = len(labels) // len(ways)
    for e in range(len(shares)):
        store(shares, e, spread(shares, 0.0))
    for r in range(step):
        for d in range(len(ways)):
            p, first = d * step + r, r * len(ways)
            total = spread(pairs, 0.0)
            for a in range(len(ways)):
                e = labels[first + a, d]
                onward = load(pairs, e) * load(ahead, first + a)
                total = total + onward
                store(shares, e, load(shares, e) + load(alpha, p) * onward)
            store(beta, p, total)


@helper
def _marginals(shares: Any, ways: Any, first: Any, second: Any, mass: Any) -> None:
    """Set ``first`` and ``second`` ``(q, LANES)`` to the shares of their classes, of 1 in all.

    ``mass`` is lowered to the total of the ``shares``.
    """
    q = len(ways)
    total = spread(shares, 0.0)
    for e in range(q * q):
        total = total + load(shares, e)
    lesser = if_less(total, load(mass, 0), total, load(mass, 0))
    store(mass, 0, if_less(-1.0, total, lesser, 0.0))  # NaN: everything was lost
    for c in range(q):
        first_share, second_share = spread(shares, 0.0), spread(shares, 0.0)
        for b in range(q):
            first_share = first_share + load(shares, c * q + b) / total
            second_share = second_share + load(shares, b * q + c) / total
        store(first, c, first_share)
        store(second, c, second_share)
