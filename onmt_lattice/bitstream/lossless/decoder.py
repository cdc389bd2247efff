"""A recurrent decoder in exact arithmetic: the probabilities of the next token, on any machine.

Weights are rounded to 20 bits after the binary point, or to as many as
:class:`~.exact.ExactLinear` can sum exactly. States are whole numbers of steps of 2⁻²⁰. Sigmoid and
tanh come from the tables of :mod:`~onmt_lattice.bitstream.logarithms`. The same tokens and the same
representation therefore have the same scores on any machine, in any batch and with any number of
threads. They differ from the scores of the network in single precision by about 10⁻⁴ nats, at no
measurable cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onmt_lattice.bitstream.exact import ExactLinear, Floats, in_steps
from onmt_lattice.bitstream.logarithms import Integers, tables
from onmt_lattice.bitstream.lossless import cells
from onmt_lattice.bitstream.lossless.tokens import State

MAX_INPUT = 2.0**12  # to which a number of a representation is clipped
MAX_STATE = 2.0**6  # to which a number of the first state is clipped


@dataclass(frozen=True)
class Layer:
    """A layer of GRU (three gates) or LSTM (four) units, its parameters as torch has them.

    Attributes:
        input_weight: ``(gates · H, in)``.
        hidden_weight: ``(gates · H, H)``.
        input_bias: ``(gates · H,)``.
        hidden_bias: ``(gates · H,)``.
    """

    input_weight: Floats
    hidden_weight: Floats
    input_bias: Floats
    hidden_bias: Floats


@dataclass(frozen=True)
class Affine:
    """x ↦ Wx + b, W ``(out, in)``."""

    weight: Floats
    bias: Floats


class RecurrentDecoder:
    """A :class:`~onmt_lattice.bitstream.lossless.tokens.TokenModel`.

    Args:
        embeddings: ``(V, E)``.
        layers: from the first to the last, all GRU or all LSTM.
        output: from the last layer's state to the scores of V tokens.
        first: from a representation ``(d,)`` to the first states, either of one layer, shared by
            all layers, or of all layers; for LSTM the cells follow in the same form. None if the
            representation is itself the first states.

    Raises:
        UserError: as :class:`~onmt_lattice.bitstream.exact.ExactLinear`.
    """

    def __init__(
        self, embeddings: Floats, layers: Sequence[Layer], output: Affine, first: Affine | None
    ) -> None:
        self.vocabulary, self.hidden = output.weight.shape
        self._lstm = layers[0].hidden_weight.shape[0] == 4 * self.hidden
        self._embeddings = in_steps(embeddings, MAX_INPUT)
        bound = max(1.0, float(np.abs(embeddings).max()))
        self._layers = []
        for layer in layers:
            inputs = ExactLinear(layer.input_weight, layer.input_bias, bound)
            hidden = ExactLinear(layer.hidden_weight, layer.hidden_bias, MAX_STATE)
            self._layers.append((inputs, hidden))
            bound = MAX_STATE
        self._output = ExactLinear(output.weight, output.bias, MAX_STATE)
        self._first = None
        if first is not None:
            self._first = ExactLinear(first.weight, first.bias, MAX_INPUT)

    def start(self, values: Floats) -> State:
        """Return the state ``(rows, layers, H)``, for LSTM twice, before the first token."""
        states = in_steps(values, MAX_INPUT)
        if self._first is not None:
            states = self._first(states)
        states = in_steps(states * 2.0**-20, MAX_STATE)
        parts = np.split(states, 2 if self._lstm else 1, axis=1)
        shape = (len(values), len(self._layers), self.hidden)
        return tuple(
            np.broadcast_to(part.reshape(len(part), -1, self.hidden), shape).copy()
            for part in parts
        )

    def step(self, state: State, tokens: Integers) -> Floats:
        """Update ``state`` with ``tokens``; return the scores ``(rows, V)`` of the next token."""
        x, exp = self._embeddings[tokens], tables().exp
        for i, (inputs, hidden) in enumerate(self._layers):
            before = np.ascontiguousarray(state[0][:, i])
            after = np.empty_like(before)
            if self._lstm:
                cell = np.ascontiguousarray(state[1][:, i])
                cells.lstm(inputs(x), hidden(before), cell, exp, after)
                state[1][:, i] = cell
            else:
                cells.gru(inputs(x), hidden(before), before, exp, after)
            state[0][:, i] = x = after
        return self._output(x)
