"""The order in which a lattice point is coded: a tree over its coordinates, in integers alone.

Each coordinate of a lattice is divided by a unit of its own, so that points are integer vectors x.
The lattice constrains only the class x_i mod P_i of a coordinate: given all classes, the
coordinates are independent. A point is therefore coded as its classes, from the top of a binary
tree down, and then each coordinate among the integers of its class.

A node of the tree represents the coordinates below it. Its label is all that the rest of the tree
has to know of them: two vectors have the same label if the same completions make lattice points of
both, which their syndromes decide. Given the label of a node, its symbol chooses a pair of labels
for its two halves. Weights of the classes of each coordinate, folded up the tree, give the weight
of all points that agree with a label. So the distribution of the next symbol, after any prefix, is
found at its node, given the labels above.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import groupby

import numpy as np
import numpy.typing as npt

from onmt_lattice.lattices.convolutional_code import Encoder

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Choices:
    """The pairs of labels that the labels of a node may split into.

    Attributes:
        left: ``(labels, edges)`` labels of the left child, one column for each choice.
        right: the same for the right child. No pair of labels occurs twice.
    """

    left: Integers
    right: Integers

    def parents(self, left_labels: int, right_labels: int) -> Integers:
        """Return ``(left labels, right labels)``, label · edges + edge of each pair, or −1."""
        parents = np.full((left_labels, right_labels), -1, dtype=np.int64)
        parents[self.left, self.right] = np.arange(self.left.size).reshape(self.left.shape)
        return parents


@dataclass(frozen=True)
class Node:
    """A node with two children.

    Attributes:
        left, right: indices of the children: 0 to n − 1 are coordinates; n is the end of a trellis,
            if there is one; then come the nodes.
        choices: shared by equal nodes.
    """

    left: int
    right: int
    choices: Choices


@dataclass(frozen=True)
class CodingOrder:
    """The tree by which the points of a lattice at scale 1 are coded.

    Attributes:
        units: ``(n,)`` float64: coordinate i of a point is units[i] times an integer.
        periods: ``(n,)`` P: the labels of coordinate i are the integers mod P_i.
        nodes: children before parents, the root last; its label is 0. None if n is 1.
        ends: whether each label of the end of a trellis is allowed; empty if there is no trellis.
        end: maps integer points ``(N, n)`` to the labels ``(N,)`` of that end.
    """

    units: npt.NDArray[np.float64]
    periods: Integers
    nodes: tuple[Node, ...]
    ends: npt.NDArray[np.bool_]
    end: Callable[[Integers], Integers] | None = None

    @property
    def dim(self) -> int:
        """N, the number of coordinates."""
        return len(self.periods)

    @property
    def first_node(self) -> int:
        """The index of the first node."""
        return self.dim + (self.end is not None)

    @cached_property
    def labels(self) -> Integers:
        """Number of labels of each coordinate, of the end and of each node, by index."""
        ends = [len(self.ends)] if self.end is not None else []
        return np.array([*self.periods, *ends, *(len(n.choices.left) for n in self.nodes)])

    @cached_property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The nodes in coding order; those of a step have equal depths and numbers of choices.

        All symbols of a step are coded before the labels of the next one are needed.
        """
        depth = {self.first_node + len(self.nodes) - 1: 0}
        for index in reversed(range(len(self.nodes))):
            node = self.nodes[index]
            below = depth[self.first_node + index] + 1
            depth[node.left], depth[node.right] = below, below

        def rank(index: int) -> tuple[int, int]:
            return depth[self.first_node + index], self.nodes[index].choices.left.shape[1]

        ranked = sorted(range(len(self.nodes)), key=lambda i: (*rank(i), i))
        return tuple(tuple(step) for _, step in groupby(ranked, key=rank))


def group_order(
    basis: npt.NDArray[np.float64], units: npt.NDArray[np.float64], chain: bool = False
) -> CodingOrder:
    """Return the coding order of any lattice of integer vectors, from its basis.

    Args:
        basis: ``(n, n)``, rows that generate the lattice.
        units: ``(n,)``; each coordinate takes all integer multiples of its unit.
        chain: split off the last coordinate at each node, instead of the second half.

    Raises:
        ValueError: if the points are not integers in these ``units``.
    """
    return _GroupOrder(np.rint(basis / units).astype(np.int64), basis / units, chain).order(units)


class _GroupOrder:
    """Computes labels as syndromes: s(x) = x · mB⁻¹ mod m is 0 for lattice points only."""

    def __init__(self, basis: Integers, exact: npt.NDArray[np.float64], chain: bool) -> None:
        self.basis, self.chain = basis, chain
        inverse = [
            [Fraction(entry).limit_denominator(10**6) for entry in row]
            for row in np.linalg.inv(exact).tolist()
        ]
        self.modulus = math.lcm(*(entry.denominator for row in inverse for entry in row))
        self.checks = np.array([[int(e * self.modulus) for e in row] for row in inverse])
        if (basis @ self.checks != self.modulus * np.eye(len(basis), dtype=np.int64)).any():
            raise ValueError("the points of a lattice are no integer vectors in the units given")
        self.checks %= self.modulus
        self.nodes: list[Node] = []

    def order(self, units: npt.NDArray[np.float64]) -> CodingOrder:
        """Return the coding order."""
        periods = [self.modulus // math.gcd(self.modulus, *row) for row in self.checks.tolist()]
        self.periods = np.array(periods)
        self._node(0, len(periods))
        return CodingOrder(units, self.periods, tuple(self.nodes), np.zeros(0, dtype=bool))

    def _node(self, begin: int, end: int) -> tuple[int, Integers]:
        """Append the node of these coordinates; return its index and its labels ``(labels, n)``."""
        if end == begin + 1:
            classes = np.arange(self.periods[begin])[:, None]
            return begin, classes * self.checks[begin] % self.modulus
        split = end - 1 if self.chain else begin + 2 ** ((end - begin - 1).bit_length() - 1)
        (left, first), (right, second) = self._node(begin, split), self._node(split, end)
        labels = self._labels(begin, end)
        choices = _choices(labels, (first[:, None] + second) % self.modulus)
        self.nodes.append(Node(left, right, choices))
        return len(self.periods) + len(self.nodes) - 1, labels

    def _labels(self, begin: int, end: int) -> Integers:
        """Return the syndromes of lattice points restricted to these coordinates."""
        labels = np.zeros((1, len(self.checks)), dtype=np.int64)
        for row in self.basis[:, begin:end] @ self.checks[begin:end] % self.modulus:
            multiples = self.modulus // math.gcd(self.modulus, *row.tolist())
            shifts = np.arange(multiples)[:, None, None] * row
            if multiples > 1 and not (labels == row).all(-1).any():
                labels = np.unique((labels + shifts).reshape(-1, len(row)) % self.modulus, axis=0)
        return labels


def _choices(labels: Integers, sums: Integers) -> Choices:
    """Return the pairs of children whose sum of syndromes ``(left, right, n)`` is in ``labels``."""
    indices = _indices_in(labels, sums.reshape(-1, labels.shape[1]))
    pairs = indices.argsort(kind="stable")[(indices < 0).sum() :].reshape(len(labels), -1)
    left, right = np.divmod(pairs, sums.shape[1])
    return Choices(left, right)


def _indices_in(labels: Integers, rows: Integers) -> Integers:
    """Return the index of each of ``rows`` in the distinct ``labels`` ``(L, n)``, or −1.

    Rows are hashed to numbers, because sorting the rows themselves takes seconds. No two labels
    have the same hash; a row is compared with the label of its hash.
    """
    rng = np.random.default_rng(0)
    while True:
        weights = rng.integers(2**62, size=labels.shape[1])
        hashes, order = np.unique(labels @ weights, return_index=True)
        if len(hashes) == len(labels):
            break
    ranks = np.searchsorted(hashes, rows @ weights)
    candidates = order[np.minimum(ranks, len(labels) - 1)]
    return np.where((labels[candidates] == rows).all(1), candidates, -1)


def trellis_order(encoder: Encoder) -> CodingOrder:
    """Return the coding order of Construction A from a convolutional code.

    The label of a node is the state before the first of its sections; its left child is that
    section. The symbols are the first state together with the first input, then input by input.
    """
    q, states = encoder.q, encoder.states
    both = np.arange(q * q)[:, None]
    section = Choices(both // q, both % q)
    before = np.arange(states)[:, None]
    after = (q * before + np.arange(q)) % states
    step = Choices(encoder.labels.numpy()[after, before * q // states], after)
    starts = encoder.starts.numpy()
    begin = Choices(step.left[starts].reshape(1, -1), step.right[starts].reshape(1, -1))
    n, last = 2 * encoder.sections, 2 * encoder.sections
    nodes: list[Node] = []
    for t in reversed(range(encoder.sections)):
        nodes.append(Node(2 * t, 2 * t + 1, section))
        nodes.append(Node(n + len(nodes), last, step if t else begin))
        last = n + len(nodes)
    return CodingOrder(
        np.ones(n), np.full(n, q), tuple(nodes), encoder.ends.numpy(), encoder.last_state
    )
