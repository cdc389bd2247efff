"""A coding order laid out for the kernels, and the classes of points coded along it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from onmt_lattice.bitstream import kernels
from onmt_lattice.bitstream.coder import Coder
from onmt_lattice.bitstream.logarithms import Integers, tables
from onmt_lattice.errors import UserError
from onmt_lattice.lattices.coding_order import CodingOrder

NEVER = -(2**61)  # log weight of an end that is not allowed
_NONE = np.zeros(0, dtype=np.int64)


class Tree:
    """Codes the classes of the points of one lattice.

    Args:
        order: the lattice's.
    """

    def __init__(self, order: CodingOrder) -> None:
        self.order = order
        self.starts = np.concatenate([[0], np.cumsum(order.labels)])
        self.ends = np.where(order.ends, 0, NEVER).astype(np.int64)
        shared = {id(node.choices): node for node in order.nodes}
        left, right, parents = [_NONE], [_NONE], [_NONE]
        at, up, begin, begin_up = {}, {}, 0, 0
        for key, node in shared.items():
            at[key], up[key] = begin, begin_up
            left.append(node.choices.left.ravel())
            right.append(node.choices.right.ravel())
            parents.append(node.choices.parents(*order.labels[[node.left, node.right]]).ravel())
            begin, begin_up = begin + len(left[-1]), begin_up + len(parents[-1])
        self.left, self.right, self.parents = map(np.concatenate, (left, right, parents))
        self.nodes = np.array(
            [(n.left, n.right, at[id(n.choices)], *n.choices.left.shape) for n in order.nodes],
            dtype=np.int64,
        ).reshape(-1, 5)
        self.up = np.array(
            [(up[id(n.choices)], order.labels[n.right]) for n in order.nodes], dtype=np.int64
        ).reshape(-1, 2)
        self.steps = [np.array(step) for step in order.steps]

    def code(
        self,
        coder: Coder,
        dither: Integers,
        blocks: Integers,
        precision: npt.NDArray[np.float64],
        terms: Integers,
        points: Integers | None,
    ) -> Integers:
        """Code the classes of ``points`` ``(N, n)``, if there are any, and return ``(N, n)``.

        The distribution of the next symbols, after all symbols before them, is that of
        :func:`~onmt_lattice.bitstream.kernels.choice_tables`: encoder, decoder and meter alike.

        Raises:
            UserError: if any of ``points`` is not in the lattice.
        """
        layout = (self.nodes, self.starts, self.left, self.right)
        weights = np.empty((len(dither), self.starts[-1]), dtype=np.int64)
        periods, log1p = self.order.periods, tables().log1p
        kernels.fold(dither, blocks, precision, terms, periods, self.ends, *layout, log1p, weights)
        labels = np.zeros((len(dither), len(self.starts) - 1), dtype=np.int64)
        chosen = None if points is None else self._choices(labels, points)
        for step in self.steps:
            edges = int(self.nodes[step[0], 4])
            values: Integers | None = None if chosen is None else chosen[:, step].reshape(-1)
            if edges == 1:
                values = np.zeros(len(labels) * len(step), dtype=np.int64)
            else:
                out = np.empty((len(labels) * len(step), edges))
                kernels.choice_tables(weights, labels, step, *layout, tables().exp, out)
                values = coder.symbols(out, values)
            if chosen is None:
                found = values.reshape(-1, len(step))
                kernels.descend(labels, step, self.nodes, self.left, self.right, found)
        return labels[:, : self.order.dim]

    def _choices(self, labels: Integers, points: Integers) -> Integers:
        """Return ``(N, nodes)``, the choices of ``points``, and set all their ``labels``."""
        n = self.order.dim
        labels[:, :n] = points % self.order.periods
        if self.order.end is not None:
            labels[:, n] = self.order.end(points)
        chosen = np.zeros((len(points), len(self.nodes)), dtype=np.int64)
        outside = kernels.rise(
            labels, self.order.first_node, self.nodes, self.up, self.parents, chosen
        )
        if outside >= 0:
            at = points[outside].tolist()
            raise UserError(f"{at} in units of its coordinates: expected a point of the lattice")
        return chosen
