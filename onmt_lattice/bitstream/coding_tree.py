"""A coding order as arrays for the kernels, and the coding of the classes of points along it."""

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
        order: the coding order of the lattice.
    """

    def __init__(self, order: CodingOrder) -> None:
        self.order = order
        self.starts = np.concatenate([[0], np.cumsum(order.labels)])
        self.ends = np.where(order.ends, 0, NEVER).astype(np.int64)
        shared = {id(node.choices): node for node in order.nodes}
        left, right, parents = [_NONE], [_NONE], [_NONE]
        choice_starts, parent_starts, choice_count, parent_count = {}, {}, 0, 0
        for key, node in shared.items():
            choice_starts[key], parent_starts[key] = choice_count, parent_count
            left.append(node.choices.left.ravel())
            right.append(node.choices.right.ravel())
            parents.append(node.choices.parents(*order.labels[[node.left, node.right]]).ravel())
            choice_count += len(left[-1])
            parent_count += len(parents[-1])
        self.left, self.right, self.parents = map(np.concatenate, (left, right, parents))
        self.nodes = np.array(
            [
                (n.left, n.right, choice_starts[id(n.choices)], *n.choices.left.shape)
                for n in order.nodes
            ],
            dtype=np.int64,
        ).reshape(-1, 5)
        self.parent_starts = np.array(
            [(parent_starts[id(n.choices)], order.labels[n.right]) for n in order.nodes],
            dtype=np.int64,
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
        """Code the classes ``(N, n)`` of ``points`` ``(N, n)``, None to read them, and return them.

        Encoder, decoder and meter take the distributions of the next symbols, given those before,
        from :func:`~onmt_lattice.bitstream.kernels.choice_tables`.

        Raises:
            UserError: if any of ``points`` is not in the lattice.
        """
        layout = (self.nodes, self.starts, self.left, self.right)
        weights = np.empty((len(dither), self.starts[-1]), dtype=np.int64)
        periods, log1p = self.order.periods, tables().log1p
        kernels.fold(dither, blocks, precision, terms, periods, self.ends, *layout, log1p, weights)
        labels = np.zeros((len(dither), len(self.starts) - 1), dtype=np.int64)
        edges = None if points is None else self._edges(labels, points)
        for step in self.steps:
            count = int(self.nodes[step[0], 4])
            values: Integers | None = None if edges is None else edges[:, step].reshape(-1)
            if count == 1:
                values = np.zeros(len(labels) * len(step), dtype=np.int64)
            else:
                out = np.empty((len(labels) * len(step), count))
                kernels.choice_tables(weights, labels, step, *layout, tables().exp, out)
                values = coder.symbols(out, values)
            if edges is None:
                step_edges = values.reshape(-1, len(step))
                kernels.descend(labels, step, self.nodes, self.left, self.right, step_edges)
        return labels[:, : self.order.dim]

    def _edges(self, labels: Integers, points: Integers) -> Integers:
        """Set all ``labels`` of ``points``; return the edges ``(N, nodes)`` at the nodes."""
        n = self.order.dim
        labels[:, :n] = points % self.order.periods
        if self.order.end is not None:
            labels[:, n] = self.order.end(points)
        edges = np.zeros((len(points), len(self.nodes)), dtype=np.int64)
        outside = kernels.rise(
            labels, self.order.first_node, self.nodes, self.parent_starts, self.parents, edges
        )
        if outside >= 0:
            point = points[outside].tolist()
            raise UserError(f"{point} in units of its coordinates: expected a point of the lattice")
        return edges
