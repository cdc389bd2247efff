"""Folds along the trellis of a convolutional code on a GPU, by Triton: all sections in one launch.

The trellis is that of :mod:`~.kernels.trellis`, but sums are of logs, the largest of each section
shifted to 0, because the range of float32 is too small for sums. A program folds one point, with a
state in each lane; the metrics of a section go through global memory, behind a barrier.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from onmt_lattice.lattices.convolutional_code import Encoder

NEVER = tl.constexpr(-1e30)  # log weight of a path that is not allowed; finite, as sums have to be
EDGES_AT_ONCE = 128  # of a section, when their weights are summed by label
MAX_WARPS = 16  # per point; fewer while that gives each lane at most two states


# ---- from the host -------------------------------------------------------------------------------


def best_classes(pairs: Tensor, code: Encoder) -> Tensor:
    """Return ``(N, 2T)`` int8, the classes along the path of the largest weight: Viterbi's.

    Args:
        pairs: ``(N, T, q²)`` contiguous, the log weights of the labels of each section.
        code: whose trellis has T sections.
    """
    count, sections = pairs.shape[:2]
    metrics = pairs.new_empty(count, 2, code.states)
    ways = pairs.new_empty(count, sections, code.states, dtype=torch.int8)
    classes = pairs.new_empty(count, 2 * sections, dtype=torch.int8)
    labels, masks = code.tables(pairs.device)
    with torch.cuda.device_of(pairs):
        _find_best[(count,)](
            pairs, labels, masks, metrics, ways, classes, sections, **_a_lane_a_state(code)
        )
    return classes


class GPUPathSums(torch.autograd.Function):
    """Logs of the total weights of all paths, ``(N,)``, from ``pairs`` as in :func:`best_classes`.

    The gradient is the share of the paths through each label, computed in the forward pass.
    """

    @staticmethod
    def forward(ctx: Any, pairs: Tensor, code: Encoder) -> Tensor:
        """Sum forwards and, if a gradient is needed, backwards in the same launch."""
        needs_gradient = ctx.needs_input_grad[0]
        count, sections = pairs.shape[:2]
        directions, rows = (2, sections + 1) if needs_gradient else (1, 2)
        metrics = pairs.new_empty(count, directions, rows, code.states)
        values, labels, masks = pairs.new_empty(count), *code.tables(pairs.device)
        with torch.cuda.device_of(pairs):
            _sum_paths[(count, directions)](
                pairs, labels, masks, metrics, values, sections, rows, **_a_lane_a_state(code)
            )
            if needs_gradient:
                shares = torch.empty_like(pairs)
                _share_out[(count * sections,)](
                    pairs, labels, metrics, shares, sections, **_a_lane_an_edge(code)
                )
                ctx.save_for_backward(shares)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient in ``pairs``."""
        (shares,) = ctx.saved_tensors
        return shares * grad[:, None, None], None


def _a_lane_a_state(code: Encoder) -> dict[str, int]:
    """Return the options of kernels that fold ``code``: loads must not overtake stores."""
    lanes = triton.next_power_of_2(code.states)
    warps = min(max(lanes // 64, 1), MAX_WARPS)
    return {"Q": code.q, "S": code.states, "LANES": lanes, "num_warps": warps, "num_stages": 1}


def _a_lane_an_edge(code: Encoder) -> dict[str, int]:
    labels = triton.next_power_of_2(code.q**2)
    return {"Q": code.q, "S": code.states, "EDGES": EDGES_AT_ONCE, "LABELS": labels}


# ---- on the device -------------------------------------------------------------------------------


@triton.jit
def _path(
    old: tl.tensor,
    pairs: tl.tensor,
    labels: tl.tensor,
    state: tl.tensor,
    edge: tl.tensor,
    real: tl.tensor,
) -> tl.tensor:
    """Return the log weights of paths extended by ``edge``; those to ``state`` are in ``old``."""
    label = tl.load(labels + edge, real, 0)
    return tl.load(old + state, real, NEVER) + tl.load(pairs + label, real, 0.0)


@triton.jit
def _log_add(a: tl.tensor, b: tl.tensor) -> tl.tensor:
    return tl.maximum(a, b) + tl.log(1.0 + tl.exp(-tl.abs(a - b)))


@triton.jit
def _allowed(mask: tl.tensor, state: tl.tensor, real: tl.tensor) -> tl.tensor:
    """Return the log weights, 0 or NEVER, of the states that ``mask`` allows."""
    return tl.where(tl.load(mask + state, real, 0) != 0, 0.0, NEVER)


@triton.jit(do_not_specialize=["sections"])
def _find_best(
    pairs: tl.tensor,
    labels: tl.tensor,
    masks: tl.tensor,
    metrics: tl.tensor,
    ways: tl.tensor,
    classes: tl.tensor,
    sections: tl.tensor,
    Q: tl.constexpr,
    S: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Set ``classes`` ``(N, 2T)``, with ``metrics`` ``(N, 2, S)`` and ``ways`` ``(N, T, S)``."""
    point = tl.program_id(0).to(tl.int64)
    state = tl.arange(0, LANES)
    real = state < S
    pairs += point * sections * Q * Q
    metrics += point * 2 * S
    ways += point * sections * S
    classes += point * sections * 2
    best = _allowed(masks, state, real).to(metrics.dtype.element_ty)
    tl.store(metrics + state, best, real)
    tl.debug_barrier()
    for t in range(sections):
        old, here = metrics + t % 2 * S, pairs + t * Q * Q
        best = _path(old, here, labels, state // Q, state * Q, real)
        way = tl.zeros((LANES,), tl.int8)
        for d in tl.static_range(1, Q):
            before = state // Q + d * (S // Q)
            candidate = _path(old, here, labels, before, state * Q + d, real)
            way = tl.where(candidate > best, d, way).to(tl.int8)
            best = tl.maximum(best, candidate)
        tl.store(metrics + (t + 1) % 2 * S + state, best, real)
        tl.store(ways + t * S + state, way, real)
        tl.debug_barrier()
    last = tl.argmax(tl.where(real, best + _allowed(masks + S, state, real), 4 * NEVER), 0)
    last = tl.minimum(last, S - 1)  # for NaN points
    for back in range(sections):
        t = sections - 1 - back
        way = tl.load(ways + t * S + last).to(tl.int32)
        label = tl.load(labels + last * Q + way)
        tl.store(classes + 2 * t, (label // Q).to(tl.int8))
        tl.store(classes + 2 * t + 1, (label % Q).to(tl.int8))
        last = last // Q + way * (S // Q)


@triton.jit(do_not_specialize=["sections", "rows"])
def _sum_paths(
    pairs: tl.tensor,
    labels: tl.tensor,
    masks: tl.tensor,
    metrics: tl.tensor,
    values: tl.tensor,
    sections: tl.tensor,
    rows: tl.tensor,
    Q: tl.constexpr,
    S: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Set ``values`` ``(N,)``, and ``metrics`` ``(N, 1 or 2 directions, rows, S)``.

    Row i, modulo the number of rows, is set to the log weights of the paths of i sections, minus
    the largest: paths from the first states to each state or, backwards, from each state to the
    last states.
    """
    point, direction = tl.program_id(0).to(tl.int64), tl.program_id(1)
    backward = direction == 1
    state = tl.arange(0, LANES)
    real = state < S
    before, onward = state // Q, state % (S // Q) * Q
    first = tl.where(backward, onward, before)  # of the neighbours, and of the edges to them
    first_edge = tl.where(backward, onward * Q + state // (S // Q), state * Q)
    step, edge_step = tl.where(backward, 1, S // Q), tl.where(backward, Q, 1)
    pairs += point * sections * Q * Q
    metrics += (point * tl.num_programs(1) + direction) * rows * S
    sums = _allowed(masks + direction * S, state, real).to(metrics.dtype.element_ty)
    subtracted = tl.zeros((), tl.float64)
    tl.store(metrics + state, sums, real)
    tl.debug_barrier()
    for i in range(sections):
        old = metrics + i % rows * S
        here = pairs + tl.where(backward, sections - 1 - i, i) * Q * Q
        sums = _path(old, here, labels, first, first_edge, real)
        for k in tl.static_range(1, Q):
            edge = first_edge + k * edge_step
            sums = _log_add(sums, _path(old, here, labels, first + k * step, edge, real))
        top = tl.max(sums, 0)
        sums -= top
        subtracted += top.to(tl.float64)
        tl.store(metrics + (i + 1) % rows * S + state, sums, real)
        tl.debug_barrier()
    sums = tl.where(real, sums + _allowed(masks + S, state, real), 4 * NEVER)
    top = tl.max(sums, 0)
    value = subtracted + (top + tl.log(tl.sum(tl.exp(sums - top), 0))).to(tl.float64)
    if direction == 0:
        tl.store(values + point, value.to(values.dtype.element_ty))


@triton.jit(do_not_specialize=["sections"])
def _share_out(
    pairs: tl.tensor,
    labels: tl.tensor,
    metrics: tl.tensor,
    shares: tl.tensor,
    sections: tl.tensor,
    Q: tl.constexpr,
    S: tl.constexpr,
    EDGES: tl.constexpr,
    LABELS: tl.constexpr,
) -> None:
    """Set ``shares`` ``(N, T, q²)`` to the weights of the labels' paths; a section has sum 1.

    ``metrics`` are all rows of both directions. A program computes one section of one point.
    """
    program = tl.program_id(0).to(tl.int64)
    point, t = program // sections, program % sections
    behind = metrics + (2 * point * (sections + 1) + t) * S
    ahead = metrics + ((2 * point + 1) * (sections + 1) + sections - 1 - t) * S
    pairs += program * Q * Q
    tops = tl.full((EDGES,), 4 * NEVER, metrics.dtype.element_ty)
    for begin in range(0, S * Q, EDGES):
        tops = tl.maximum(tops, _through(behind, ahead, pairs, labels, begin, Q, S, EDGES))
    top = tl.max(tops, 0)
    label = tl.arange(0, LABELS)
    sums = tl.zeros((EDGES, LABELS), metrics.dtype.element_ty)
    for begin in range(0, S * Q, EDGES):
        edge = begin + tl.arange(0, EDGES)
        weight = tl.exp(_through(behind, ahead, pairs, labels, begin, Q, S, EDGES) - top)
        edge_label = tl.load(labels + edge, edge < S * Q, 0)
        sums += tl.where(edge_label[:, None] == label[None, :], weight[:, None], 0.0)
    share = tl.sum(sums, 0)
    tl.store(shares + program * Q * Q + label, share / tl.sum(share, 0), label < Q * Q)


@triton.jit
def _through(
    behind: tl.tensor,
    ahead: tl.tensor,
    pairs: tl.tensor,
    labels: tl.tensor,
    begin: tl.tensor,
    Q: tl.constexpr,
    S: tl.constexpr,
    EDGES: tl.constexpr,
) -> tl.tensor:
    """Return the log weights of all paths through each edge from ``begin`` on."""
    edge = begin + tl.arange(0, EDGES)
    real = edge < S * Q
    to, way = edge // Q, edge % Q
    weight = _path(behind, pairs, labels, to // Q + way * (S // Q), edge, real)
    return weight + tl.load(ahead + to, real, NEVER)
