"""The integer arithmetic of the coder, compiled by numba.

All sums are of 64-bit integers. Products of floating-point numbers are truncated to integers before
they are added, so that no product can be fused with a sum, and no result depends on an order.
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
from onmt_lattice.lattices.kernels.compilation import compiled, helper, unsigned

MAX_ENERGY = 2.0**46  # units that one coordinate may add to a log weight, 7·10⁷ nats
AROUND = 7  # integers on either side of the nearest one that have symbols of their own
SYMBOLS = 2 * AROUND + 2  # those, the nearest one, and one symbol for all others
TOTAL = 1 << 24  # sum of the frequencies of symbols


@helper
def log_add(a: Any, b: Any, log1p: Any) -> Any:
    """Return log(e^a + e^b) of two log weights."""
    top, apart = (a, a - b) if a > b else (b, b - a)
    entry = apart >> STEP
    if entry >= len(log1p) - 1:
        return top
    part, index, following = apart & ((1 << STEP) - 1), unsigned(entry), unsigned(entry + 1)
    return top + log1p[index] + (((log1p[following] - log1p[index]) * part) >> STEP)


@helper
def weight(below: Any, exp: Any) -> Any:
    """Return e^−below · 2^30, the weight of what is ``below`` ≥ 0 units under the largest."""
    entry = below >> STEP
    if entry >= len(exp) - 1:
        return 0
    part = below & ((1 << STEP) - 1)
    return exp[entry] + (((exp[entry + 1] - exp[entry]) * part) >> STEP)


@helper
def energy(distance: Any, precision: Any) -> Any:
    """Return distance² · precision, the negative of a log weight."""
    d = float(distance)
    return np.int64(min(d * d * precision, MAX_ENERGY))


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
    """Set ``out`` to whole numbers in proportion to ``weights``; they sum to TOTAL − len(out).

    The coder adds 1 to each, so that every symbol can be sent.
    """
    total = 0
    for w in weights:
        total += w
    rest, largest, share = TOTAL - len(out), 0, TOTAL - len(out)
    for i in range(len(out)):
        part = weights[i] * share // total
        out[i] = part
        rest -= part
        largest = i if weights[i] > weights[largest] else largest
    out[largest] += rest


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
        blocks: ``(N,)``, the row of ``precision`` and ``terms`` for each point.
        precision: ``(blocks, n)``; see
            :class:`~onmt_lattice.bitstream.coordinate.CoordinateLaw`.
        terms: ``(blocks, n)``; see there.
        periods: ``(n,)``.
        ends: log weights of the labels of the end of a trellis.
        nodes: ``(nodes, 5)``: left child, right child, index of its first choice in ``left`` and
            ``right``, number of labels, number of edges.
        starts: index of the first label of each coordinate, of the end and of each node.
        left: labels of left children, flat.
        right: labels of right children, flat.
        log1p: the table.
        weights: set.
    """
    for p in range(len(dither)):
        row, block = weights[p], blocks[p]
        for i in range(len(periods)):
            for label in range(periods[i]):
                row[starts[i] + label] = class_weight(
                    dither[p, i] - (label << UNIT),
                    periods[i] << UNIT,
                    precision[block, i],
                    terms[block, i],
                    log1p,
                )
        first = starts[len(starts) - len(nodes) - 1]
        for i in range(len(ends)):
            row[first - len(ends) + i] = ends[i]
        for k in range(len(nodes)):
            left_start, right_start, start = starts[nodes[k, 0]], starts[nodes[k, 1]], nodes[k, 2]
            edges, out = nodes[k, 4], starts[len(starts) - len(nodes) - 1 + k]
            for label in range(nodes[k, 3]):
                edge = start + label * edges
                total = pair_weight(row, left_start, right_start, left, right, edge)
                for e in range(edge + 1, edge + edges):
                    pair = pair_weight(row, left_start, right_start, left, right, e)
                    total = log_add(total, pair, log1p)
                row[unsigned(out + label)] = total


@helper
def pair_weight(
    weights: Any, left_start: Any, right_start: Any, left: Any, right: Any, edge: Any
) -> Any:
    """Return the log weight of both children at an edge.

    The labels of the children have their ``weights`` from ``left_start`` and ``right_start`` on.
    """
    e = unsigned(edge)
    return weights[unsigned(left_start + left[e])] + weights[unsigned(right_start + right[e])]


@helper
def class_weight(distance: Any, period: Any, precision: Any, terms: Any, log1p: Any) -> Any:
    """Return the log weight of all multiples of ``period``, of which one is at ``distance``."""
    if terms == 0:
        return 0
    nearest = distance - (distance + period // 2) // period * period
    total = -energy(nearest, precision)
    for k in range(1, terms + 1):
        total = log_add(total, -energy(nearest - k * period, precision), log1p)
        total = log_add(total, -energy(nearest + k * period, precision), log1p)
    return total


@compiled
def rise(labels: Any, first: Any, nodes: Any, parent_starts: Any, parents: Any, edges: Any) -> Any:
    """Set ``labels`` ``(N, ids)`` and ``edges`` ``(N, nodes)`` of nodes from their children.

    Returns the index of the first point that is not in the lattice, or −1.
    """
    for p in range(len(labels)):
        for k in range(len(nodes)):
            start, width = parent_starts[k, 0], parent_starts[k, 1]
            pair = parents[start + labels[p, nodes[k, 0]] * width + labels[p, nodes[k, 1]]]
            if pair < 0:
                return p
            labels[p, first + k] = pair // nodes[k, 4]
            edges[p, k] = pair % nodes[k, 4]
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
        row = weights[p]
        for i in range(len(step)):
            node = nodes[step[i]]
            start = node[2] + labels[p, first + step[i]] * edges
            left_start, right_start = starts[node[0]], starts[node[1]]
            for e in range(edges):
                logs[e] = pair_weight(row, left_start, right_start, left, right, start + e)
            top = largest(logs, 0, edges)
            for e in range(edges):
                logs[e] = weight(top - logs[e], exp)
            frequencies(logs, out[p * len(step) + i])


@compiled
def descend(labels: Any, step: Any, nodes: Any, left: Any, right: Any, edges: Any) -> None:
    """Set the labels of the children of a step's nodes by the ``edges`` ``(N, len(step))``."""
    first = labels.shape[1] - len(nodes)
    for p in range(len(labels)):
        for i in range(len(step)):
            node = nodes[step[i]]
            index = node[2] + labels[p, first + step[i]] * node[4] + edges[p, i]
            labels[p, node[0]], labels[p, node[1]] = left[index], right[index]


@compiled
def number_tables(
    offset: Any, spacing: Any, precision: Any, inverse: Any, exp: Any, normal: Any, out: Any
) -> None:
    """Set ``out`` ``(N, SYMBOLS)`` to the distributions of −7 … 7 times ``spacing``, and the rest.

    Args:
        offset: ``(N,)``, the dither in steps: of magnitude at most half of ``spacing``.
        spacing: ``(N,)`` in steps.
        precision: ``(N,)``; see :class:`~onmt_lattice.bitstream.coordinate.CoordinateLaw`.
        inverse: ``(N,)``, its ``normal``.
        exp: the table.
        normal: the table.
        out: set.
    """
    weights = np.empty(SYMBOLS, dtype=np.int64)
    weights[SYMBOLS - 1] = 0
    for p in range(len(offset)):
        if inverse[p] > 0:
            below = normal_cdf(edge_below(-AROUND, spacing[p]) - offset[p], inverse[p], normal)
            for i in range(-AROUND, AROUND + 1):
                above = normal_cdf(edge_below(i + 1, spacing[p]) - offset[p], inverse[p], normal)
                weights[i + AROUND] = above - below
                below = above
        else:
            least = energy(offset[p], precision[p])
            for i in range(-AROUND, AROUND + 1):
                distance = energy(i * spacing[p] - offset[p], precision[p])
                weights[i + AROUND] = weight(max(distance - least, 0), exp)
        frequencies(weights, out[p])


@helper
def edge_below(i: Any, spacing: Any) -> Any:
    """Return the lower end of the interval that rounds to ``i`` times ``spacing``."""
    return i * spacing - spacing // 2


@compiled
def row_frequencies(below: Any, exp: Any, out: Any) -> None:
    """Set ``out`` ``(N, M)`` to the frequencies of log weights ``below`` their row's largest."""
    weights = np.empty(below.shape[1], dtype=np.int64)
    for row in range(len(below)):
        for i in range(len(weights)):
            weights[i] = weight(below[row, i], exp)
        frequencies(weights, out[row])


@compiled
def bucket_frequencies(scores: Any, width: Any, exp: Any, out: Any) -> None:
    """Set ``out`` ``(N, buckets)`` to the frequencies of buckets of ``width`` entries, up to 512.

    Args:
        scores: ``(N, M)`` floating-point log weights in units; their fractions are truncated.
        width: that of all buckets but the last, which may be narrower.
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
def entry_frequencies(scores: Any, buckets: Any, exp: Any, out: Any) -> None:
    """Set ``out`` ``(N, width)`` to the frequencies of the entries of one bucket per row."""
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
