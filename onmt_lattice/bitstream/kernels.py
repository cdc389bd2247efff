"""The integer arithmetic of the coder, compiled by numba.

All of it is of 64-bit integers, but for products of floating-point numbers that are truncated to
integers: there is no sum that could be fused with one, and none whose order could matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onmt_lattice.bitstream.logarithms import (
    NORMAL,
    NORMAL_REACH,
    NORMAL_STEP,
    STEP,
    UNIT,
)
from onmt_lattice.compilation import compiled, helper, unsigned

MOST = 2.0**46  # units that one coordinate may add to a log weight, 7·10⁷ nats
AROUND = 7  # integers on either side of the nearest one that have a symbol of their own
SYMBOLS = 2 * AROUND + 2  # and one for all others
TOTAL = 1 << 24  # of the frequencies of symbols


@helper
def log_add(a: Any, b: Any, log1p: Any) -> Any:
    """Return the log weight of two together."""
    top, apart = (a, a - b) if a > b else (b, b - a)
    entry = apart >> STEP
    if entry >= len(log1p) - 1:
        return top
    part, here, next_one = apart & ((1 << STEP) - 1), unsigned(entry), unsigned(entry + 1)
    return top + log1p[here] + (((log1p[next_one] - log1p[here]) * part) >> STEP)


@helper
def weight(below: Any, exp: Any) -> Any:
    """Return e^−below · 2^30 of a log weight ``below`` ≥ 0 the largest."""
    entry = below >> STEP
    if entry >= len(exp) - 1:
        return 0
    part = below & ((1 << STEP) - 1)
    return exp[entry] + (((exp[entry + 1] - exp[entry]) * part) >> STEP)


@helper
def energy(distance: Any, precision: Any) -> Any:
    """Return distance² · precision, a log weight negated."""
    d = float(distance)
    return np.int64(min(d * d * precision, MOST))


@helper
def normal_cdf(distance: Any, inverse: Any, normal: Any) -> Any:
    """Return Φ(distance/σ) · 2^36 for a ``distance`` in steps of dither."""
    limit = float(NORMAL_REACH << UNIT)
    x = np.int64(max(min(float(distance) * inverse, limit), -limit)) + (NORMAL_REACH << UNIT)
    entry = x >> NORMAL_STEP
    if entry >= len(normal) - 1:
        return 1 << NORMAL
    part = x & ((1 << NORMAL_STEP) - 1)
    return normal[entry] + (((normal[entry + 1] - normal[entry]) * part) >> NORMAL_STEP)


@compiled
def frequencies(weights: Any, out: Any) -> None:
    """Set ``out`` to whole numbers in proportion to ``weights``, that sum to TOTAL − len(out).

    The coder adds 1 to each, so that each symbol can be sent.
    """
    total = 0
    for w in weights:
        total += w
    left, largest, share = TOTAL - len(out), 0, TOTAL - len(out)
    for i in range(len(out)):
        part = weights[i] * share // total
        out[i] = part
        left -= part
        largest = i if weights[i] > weights[largest] else largest
    out[largest] += left


@compiled
def fold(
    dither: Any,
    blocks: Any,
    precision: Any,
    terms: Any,
    periods: Any,
    ends: Any,
    nodes: Any,
    starts: Any,
    left: Any,
    right: Any,
    log1p: Any,
    weights: Any,
) -> None:
    """Set ``weights`` ``(N, labels)`` to the log weights of all labels of the tree.

    Args:
        dither: ``(N, n)`` in steps, within the periods.
        blocks: ``(N,)``, which row of ``precision`` and ``terms`` ``(blocks, n)`` is each point's.
        precision: see :class:`~onmt_lattice.bitstream.coordinate.Line`, as are the terms.
        terms: see there.
        periods: ``(n,)``.
        ends: log weights of the labels of the end of a trellis.
        nodes: ``(nodes, 5)``: left child, right child, where its choices start in ``left`` and
            ``right``, labels, edges.
        starts: where the labels of each coordinate, of the end and of each node start.
        left: labels of left children, flat.
        right: the same of right ones.
        log1p: the table.
        weights: set.
    """
    for p in range(len(dither)):
        own, b = weights[p], blocks[p]
        for i in range(len(periods)):
            for label in range(periods[i]):
                own[starts[i] + label] = class_weight(
                    dither[p, i] - (label << UNIT),
                    periods[i] << UNIT,
                    precision[b, i],
                    terms[b, i],
                    log1p,
                )
        first = starts[len(starts) - len(nodes) - 1]
        for i in range(len(ends)):
            own[first - len(ends) + i] = ends[i]
        for k in range(len(nodes)):
            at_left, at_right, start = starts[nodes[k, 0]], starts[nodes[k, 1]], nodes[k, 2]
            edges, out = nodes[k, 4], starts[len(starts) - len(nodes) - 1 + k]
            for label in range(nodes[k, 3]):
                at = start + label * edges
                total = pair_weight(own, at_left, at_right, left, right, at)
                for e in range(at + 1, at + edges):
                    more = pair_weight(own, at_left, at_right, left, right, e)
                    total = log_add(total, more, log1p)
                own[unsigned(out + label)] = total


@helper
def pair_weight(own: Any, at_left: Any, at_right: Any, left: Any, right: Any, edge: Any) -> Any:
    """Return the log weight of both children at an edge, their own starting at two places."""
    e = unsigned(edge)
    return own[unsigned(at_left + left[e])] + own[unsigned(at_right + right[e])]


@helper
def class_weight(distance: Any, period: Any, precision: Any, terms: Any, log1p: Any) -> Any:
    """Return the log weight of the multiples of ``period`` at ``distance`` from one of them."""
    if terms == 0:
        return 0
    nearest = distance - (distance + period // 2) // period * period
    total = -energy(nearest, precision)
    for k in range(1, terms + 1):
        total = log_add(total, -energy(nearest - k * period, precision), log1p)
        total = log_add(total, -energy(nearest + k * period, precision), log1p)
    return total


@compiled
def rise(labels: Any, first: Any, nodes: Any, parent_starts: Any, parents: Any, edge: Any) -> Any:
    """Set the labels ``(N, ids)`` and choices ``(N, nodes)`` of nodes from those below.

    Returns the first of the points that is none of the lattice, or −1.
    """
    for p in range(len(labels)):
        for k in range(len(nodes)):
            above, width = parent_starts[k, 0], parent_starts[k, 1]
            pair = parents[above + labels[p, nodes[k, 0]] * width + labels[p, nodes[k, 1]]]
            if pair < 0:
                return p
            labels[p, first + k] = pair // nodes[k, 4]
            edge[p, k] = pair % nodes[k, 4]
    return -1


@compiled
def choice_tables(
    weights: Any,
    labels: Any,
    step: Any,
    nodes: Any,
    starts: Any,
    left: Any,
    right: Any,
    exp: Any,
    out: Any,
) -> None:
    """Set ``out`` ``(N · len(step), edges)`` to the distributions of the choices at a step."""
    edges, first = out.shape[1], len(starts) - len(nodes) - 1
    logs = np.empty(edges, dtype=np.int64)
    for p in range(len(labels)):
        own = weights[p]
        for i in range(len(step)):
            node = nodes[step[i]]
            start = node[2] + labels[p, first + step[i]] * edges
            at_left, at_right = starts[node[0]], starts[node[1]]
            for e in range(edges):
                logs[e] = pair_weight(own, at_left, at_right, left, right, start + e)
            top = largest(logs, 0, edges)
            for e in range(edges):
                logs[e] = weight(top - logs[e], exp)
            frequencies(logs, out[p * len(step) + i])


@compiled
def descend(labels: Any, step: Any, nodes: Any, left: Any, right: Any, chosen: Any) -> None:
    """Set the labels of the children of a step's nodes by the choices ``(N, len(step))``."""
    first = labels.shape[1] - len(nodes)
    for p in range(len(labels)):
        for i in range(len(step)):
            node = nodes[step[i]]
            at = node[2] + labels[p, first + step[i]] * node[4] + chosen[p, i]
            labels[p, node[0]], labels[p, node[1]] = left[at], right[at]


@compiled
def number_tables(
    offset: Any, spacing: Any, precision: Any, inverse: Any, exp: Any, normal: Any, out: Any
) -> None:
    """Set ``out`` ``(N, SYMBOLS)`` to the distributions of −7 … 7 times ``spacing``, and others.

    Args:
        offset: ``(N,)``, where the dither is from 0, in steps: at most half of ``spacing``.
        spacing: ``(N,)`` in steps.
        precision: ``(N,)``; see :class:`~onmt_lattice.bitstream.coordinate.Line`.
        inverse: ``(N,)``, its ``normal``.
        exp: the table.
        normal: the table.
        out: set.
    """
    found = np.empty(SYMBOLS, dtype=np.int64)
    found[SYMBOLS - 1] = 0
    for p in range(len(offset)):
        if inverse[p] > 0:
            below = normal_cdf(edge_below(-AROUND, spacing[p]) - offset[p], inverse[p], normal)
            for i in range(-AROUND, AROUND + 1):
                above = normal_cdf(edge_below(i + 1, spacing[p]) - offset[p], inverse[p], normal)
                found[i + AROUND] = above - below
                below = above
        else:
            least = energy(offset[p], precision[p])
            for i in range(-AROUND, AROUND + 1):
                distance = energy(i * spacing[p] - offset[p], precision[p])
                found[i + AROUND] = weight(max(distance - least, 0), exp)
        frequencies(found, out[p])


@helper
def edge_below(i: Any, spacing: Any) -> Any:
    """Return the lower edge of what rounds to ``i`` times ``spacing``."""
    return i * spacing - spacing // 2


@compiled
def row_frequencies(below: Any, exp: Any, out: Any) -> None:
    """Set ``out`` ``(N, M)`` to frequencies of log weights ``below`` each row's largest."""
    weights = np.empty(below.shape[1], dtype=np.int64)
    for row in range(len(below)):
        for i in range(len(weights)):
            weights[i] = weight(below[row, i], exp)
        frequencies(weights, out[row])


@compiled
def bucket_frequencies(scores: Any, width: Any, exp: Any, out: Any) -> None:
    """Set ``out`` ``(N, buckets)`` to the frequencies of buckets of ``width`` entries, up to 512.

    Args:
        scores: ``(N, M)`` floating-point log weights in units; their fractions are cut off.
        width: of all buckets but the last, which may be narrower.
        exp: the table.
        out: set.
    """
    entries = scores.shape[1]
    weights = np.empty(out.shape[1], dtype=np.int64)
    for row in range(len(scores)):
        top = largest(scores[row], 0, entries)
        for bucket in range(len(weights)):
            total = 0
            for i in range(bucket * width, min(entries, (bucket + 1) * width)):
                total += weight(np.int64(top - scores[row, i]), exp)
            weights[bucket] = total
        frequencies(weights, out[row])


@helper
def largest(numbers: Any, begin: Any, end: Any) -> Any:
    """Return the largest of ``numbers`` from ``begin`` to before ``end``."""
    top = numbers[begin]
    for i in range(begin + 1, end):
        top = numbers[i] if numbers[i] > top else top
    return top


@compiled
def place_frequencies(scores: Any, buckets: Any, exp: Any, out: Any) -> None:
    """Set ``out`` ``(N, width)`` to the frequencies of the entries of one bucket a row."""
    entries, width = scores.shape[1], out.shape[1]
    weights = np.empty(width, dtype=np.int64)
    for row in range(len(scores)):
        begin = buckets[row] * width
        size = min(entries, begin + width) - begin
        top = largest(scores[row], begin, begin + size)
        for i in range(width):
            weights[i] = 0
        for i in range(size):
            weights[i] = weight(np.int64(top - scores[row, begin + i]), exp)
        frequencies(weights, out[row])
