"""The GRU of :class:`torch.nn.GRU` on a CPU, faster where words repeat.

The same equations and parameters, in fewer operations. The first layer's input weights are applied
once to each distinct word of a batch; the gradient of the recurrent weights is one matrix product
for all time steps; and the derivatives of gates and states are computed for all time steps at once.

Sequences are packed as by :func:`torch.nn.utils.rnn.pack_padded_sequence`: rows of time step 0
first, longest sequences first, ``sizes[t]`` rows of step t.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from onmt_lattice.opennmt.model.devices import linear


class Words(NamedTuple):
    """Packed sequences of words: row i of N is ``vectors[indices[i]]``.

    Attributes:
        vectors: ``(distinct, dim)``.
        indices: ``(N,)`` int64.
        sizes: rows of each time step; they sum to N.
    """

    vectors: Tensor
    indices: Tensor
    sizes: list[int]


def applies(rnn: nn.Module, embeddings: nn.Module) -> bool:
    """Return whether :func:`run` can compute ``rnn`` on words with these ``embeddings``."""
    return (
        isinstance(rnn, nn.GRU)
        and rnn.weight_hh_l0.device.type == "cpu"
        and rnn.weight_hh_l0.dtype == torch.float32
        and not embeddings.position_encoding
        and not torch.is_autocast_enabled("cpu")
    )


def words(embeddings: nn.Module, tokens: Tensor, lengths: Tensor | None = None) -> Words:
    """Return ``tokens`` ``(len, batch)``, packed, with OpenNMT-py's ``embeddings``."""
    if lengths is None:
        rows, sizes = tokens.flatten(), [tokens.shape[1]] * len(tokens)
    else:
        packed = pack_padded_sequence(tokens, lengths.cpu())
        rows, sizes = packed.data, packed.batch_sizes.tolist()
    distinct, indices = torch.unique(rows, return_inverse=True)
    return Words(embeddings(distinct.view(-1, 1, 1)).squeeze(1), indices, sizes)


def run(rnn: nn.GRU, inputs: Words, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the top layer's outputs and every layer's last state.

    They are ``(N, directions * hidden)``, packed, and ``(layers * directions, batch, hidden)``, as
    the initial ``state``, which is zero if None.
    """
    directions = 2 if rnn.bidirectional else 1
    if state is None:
        shape = (rnn.num_layers * directions, inputs.sizes[0], rnn.hidden_size)
        state = inputs.vectors.new_zeros(shape)
    rows, last = inputs.vectors, list[Tensor]()
    for layer in range(rnn.num_layers):
        if layer > 0 and rnn.dropout > 0:
            rows = functional.dropout(rows, rnn.dropout, rnn.training)
        outputs = []
        for backwards in range(directions):
            w_ih, w_hh, b_ih, b_hh = rnn.all_weights[len(last)]
            gates = linear(rows, w_ih, b_ih)
            if layer == 0:
                gates = functional.embedding(inputs.indices, gates)
            output, final = _Direction.apply(
                gates, state[len(last)], w_hh, b_hh, inputs.sizes, bool(backwards)
            )
            outputs.append(output)
            last.append(final)
        rows = outputs[0] if directions == 1 else torch.cat(outputs, dim=1)
    return rows, torch.stack(last)


class _Direction(torch.autograd.Function):
    """One direction of one layer: from the gates' inputs ``(N, 3 hidden)`` to its states.

    With r, z = σ(input + recurrent), n = tanh(input + r · recurrent) and h' = n + z (h − n).
    """

    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        state: Tensor,
        weight: Tensor,
        bias: Tensor,
        sizes: Sequence[int],
        backwards: bool,
    ) -> tuple[Tensor, Tensor]:
        hidden = weight.shape[1]
        recurrent, outputs = torch.empty_like(gates), gates.new_empty(len(gates), hidden)
        before, candidate = torch.empty_like(outputs), torch.empty_like(outputs)
        reset_update = gates.new_empty(len(gates), 2 * hidden)
        state = state.clone()
        for rows, size in _steps(sizes, backwards):
            h, out, n, rz = before[rows], recurrent[rows], candidate[rows], reset_update[rows]
            h.copy_(state[:size])
            torch.addmm(bias, h, weight.t(), out=out)
            inputs = gates[rows]
            torch.add(inputs[:, : 2 * hidden], out[:, : 2 * hidden], out=rz).sigmoid_()
            torch.addcmul(inputs[:, 2 * hidden :], rz[:, :hidden], out[:, 2 * hidden :], out=n)
            torch.lerp(n.tanh_(), h, rz[:, hidden:], out=outputs[rows])
            state[:size] = outputs[rows]
        ctx.sizes, ctx.backwards = sizes, backwards
        ctx.save_for_backward(weight, before, candidate, reset_update, recurrent[:, 2 * hidden :])
        ctx.set_materialize_grads(False)
        return outputs, state

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, d_outputs: Tensor | None, d_state: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        weight, before, n, reset_update, recurrent = ctx.saved_tensors
        hidden = weight.shape[1]
        r, z = reset_update[:, :hidden], reset_update[:, hidden:]
        # Derivatives of h' by the inputs of n, and by the recurrent inputs of r, z and n.
        slope = (1 - z) * (1 - n * n)
        slopes = torch.stack(
            [slope * recurrent * r * (1 - r), (before - n) * z * (1 - z), slope * r], dim=1
        )
        d_recurrent, d_hidden = torch.empty_like(slopes), torch.empty_like(before)
        d = before.new_zeros(ctx.sizes[0], hidden) if d_state is None else d_state.clone()
        for rows, size in _steps(ctx.sizes, not ctx.backwards):
            d_active, d_gates = d[:size], d_recurrent[rows]
            if d_outputs is not None:
                d_active += d_outputs[rows]
            d_hidden[rows] = d_active
            torch.mul(slopes[rows], d_active.unsqueeze(1), out=d_gates)
            d_active.mul_(z[rows]).addmm_(d_gates.flatten(1), weight)
        flat = d_recurrent.flatten(1)
        d_gates = torch.cat([flat[:, : 2 * hidden], slope * d_hidden], dim=1)
        return d_gates, d, flat.t() @ before, flat.sum(0), None, None


def _steps(sizes: Sequence[int], backwards: bool) -> list[tuple[slice, int]]:
    """Return the rows of each time step and their number, in the order of computation."""
    steps, start = [], 0
    for size in sizes:
        steps.append((slice(start, start + size), size))
        start += size
    return steps[::-1] if backwards else steps
