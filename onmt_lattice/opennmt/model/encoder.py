"""The encoders: OpenNMT-py's RNN or transformer, the vector X of a sentence, the bottleneck."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from onmt.encoders.encoder import EncoderBase
from onmt.encoders.rnn_encoder import RNNEncoder
from onmt.encoders.transformer import TransformerEncoder
from onmt.modules import MultiHeadedAttention
from onmt.modules.embeddings import Embeddings
from onmt.utils.misc import sequence_mask
from torch import Tensor, nn

from onmt_lattice.bottlenecks import BottleneckOutput
from onmt_lattice.noise import Noise, StreamNoise
from onmt_lattice.opennmt.model import gru
from onmt_lattice.opennmt.model.devices import matmul_precision
from onmt_lattice.opennmt.options.configuration import has_slots, make_bottleneck_from_opt
from onmt_lattice.opennmt.options.parsers import BRNN, TRANSFORMER

State = Tensor | tuple[Tensor, ...]


class DecoderInputs(NamedTuple):
    """All that a decoder reads of a batch, a function of the bottleneck's output.

    Attributes:
        state: ``(layers, batch, dim)``, initial state of an RNN; for an LSTM two of them.
        memory: ``(k, batch, dim)``, for attention, with one k for all sentences.
        lengths: ``(batch,)``, k each.
    """

    state: State
    memory: Tensor
    lengths: Tensor


class Slots(nn.Module):
    """k learned queries that attend over an encoder's outputs, and a norm for the decoder's side.

    Without the norm, a decoder with attention learned slowly, and hardly at all behind
    straight-through quantizers, whose entries grow.
    """

    def __init__(self, k: int, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(k, dim))
        self.attention = MultiHeadedAttention(heads, dim, dropout)
        self.norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the queries, which must differ, from a normal law."""
        nn.init.normal_(self.queries)
        self.norm.reset_parameters()

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Return ``(batch, k * dim)`` of ``outputs`` ``(src_len, batch, dim)``."""
        keys = outputs.transpose(0, 1)
        padding = ~sequence_mask(lengths, len(outputs)).unsqueeze(1)
        queries = self.queries.expand(len(keys), -1, -1)
        slots, _ = self.attention(keys, keys, queries, mask=padding)
        return cast(Tensor, slots.flatten(1))


class BottleneckEncoder(EncoderBase):
    """An encoder of OpenNMT-py with a bottleneck.

    X ``(batch, m)`` is made by ``slots`` from the encoder's outputs or, without slots, from an
    RNN's last states. The decoder reads only a function of the bottleneck's output.
    """

    slots: Slots | None

    def add_bottleneck(self, opt: Namespace) -> None:
        """Add the bottleneck, and slots if ``opt`` has any."""
        self.dim = opt.enc_rnn_size
        self.decoder_layers = opt.dec_layers
        self.states = 2 if opt.rnn_type == "LSTM" else 1
        self.slots = None
        if has_slots(opt):
            dropout = _first(opt.attention_dropout)
            self.slots = Slots(opt.bottleneck_slots, self.dim, opt.heads, dropout)
        self.bottleneck = make_bottleneck_from_opt(opt)

    def reset_parameters(self) -> None:
        """Initialise slots and bottleneck again, after OpenNMT-py's ``param_init``."""
        if self.slots is not None:
            self.slots.reset_parameters()
        self.bottleneck.reset_parameters()

    def represent(self, src: Tensor, lengths: Tensor) -> Tensor:
        """Return X ``(batch, m)`` of ``src`` ``(src_len, batch, 1)``."""
        assert self.slots is not None
        lengths = lengths.to(src.device)
        _, outputs, _ = super().forward(src, lengths)
        return cast(Tensor, self.slots(outputs, lengths))

    def bottlenecked(self, x: Tensor, noise: Noise, relaxed: bool) -> BottleneckOutput:
        """Return the outputs of the quantized or ``relaxed`` channel, in single precision."""
        channel = self.bottleneck.relaxed if relaxed else self.bottleneck.quantized
        with torch.autocast(x.device.type, enabled=False), matmul_precision("highest"):
            return channel(x.float(), noise)

    def for_decoder(self, y: Tensor) -> DecoderInputs:
        """Return the decoder's inputs for the bottleneck's output ``y`` ``(batch, m)``.

        An RNN starts from the first slot or, without slots, from the states in X.
        """
        memory = y.view(len(y), -1, self.dim).transpose(0, 1)
        if self.slots is None:
            first: Sequence[Tensor] = memory.chunk(self.states)
        else:
            memory = self.slots.norm(memory)
            first = [memory[:1]] * self.states
        states = tuple(s.expand(self.decoder_layers, -1, -1).contiguous() for s in first)
        lengths = torch.full((len(y),), len(memory), device=y.device)
        return DecoderInputs(states if self.states > 1 else states[0], memory, lengths)

    def forward(self, src: Tensor, lengths: Tensor) -> DecoderInputs:
        """Encode for OpenNMT-py's own callers, with noise from the global generator."""
        x = self.represent(src, lengths)
        return self.for_decoder(self.bottlenecked(x, StreamNoise(), self.training).output)

    def update_dropout(self, dropout: float, attention_dropout: float) -> None:
        """Set the dropout of all parts."""
        super().update_dropout(dropout, attention_dropout)
        if self.slots is not None:
            self.slots.attention.update_dropout(attention_dropout)


class RNNBottleneckEncoder(BottleneckEncoder, RNNEncoder):
    """The two-directional RNN encoder.

    Without slots, X is the top layer's final state in both directions (site ``top``), or every
    layer's (site ``all``); for an LSTM, hidden and cell states.
    """

    site: str

    @classmethod
    def from_opt(cls, opt: Namespace, embeddings: Embeddings) -> RNNBottleneckEncoder:
        """Build the encoder from OpenNMT-py's options."""
        sizes = opt.enc_layers, opt.enc_rnn_size
        encoder = cls(opt.rnn_type, True, *sizes, _first(opt.dropout), embeddings, opt.bridge)
        encoder.site = opt.bottleneck_site
        encoder.add_bottleneck(opt)
        return encoder

    def represent(self, src: Tensor, lengths: Tensor) -> Tensor:
        """See :meth:`BottleneckEncoder.represent`."""
        if self.slots is not None:
            return super().represent(src, lengths)
        final = self._last_states(src, lengths)
        states = final if isinstance(final, tuple) else (final,)
        # (layers * directions, batch, dim) -> (layers, batch, directions * dim)
        joined = [torch.cat([s[0::2], s[1::2]], dim=2) for s in states]
        layers = [s[-1:] if self.site == "top" else s for s in joined]
        return torch.cat([s.transpose(0, 1).flatten(1) for s in layers], dim=1)

    def _last_states(self, src: Tensor, lengths: Tensor) -> State:
        """Return every layer's last states, ``(layers * directions, batch, dim)`` each."""
        if not gru.applies(self.rnn, self.embeddings):
            final, _, _ = RNNEncoder.forward(self, src, lengths)
            return cast(State, final)
        _, final = gru.run(self.rnn, gru.words(self.embeddings, src[:, :, 0], lengths))
        return cast(State, self._bridge(final)) if self.use_bridge else final


class TransformerBottleneckEncoder(BottleneckEncoder, TransformerEncoder):
    """The transformer encoder, with slots."""

    @classmethod
    def from_opt(cls, opt: Namespace, embeddings: Embeddings) -> TransformerBottleneckEncoder:
        """Build the encoder from OpenNMT-py's options."""
        encoder = cast(TransformerBottleneckEncoder, super().from_opt(opt, embeddings))
        encoder.add_bottleneck(opt)
        return encoder


ENCODERS: dict[str, type[BottleneckEncoder]] = {
    BRNN: RNNBottleneckEncoder,
    TRANSFORMER: TransformerBottleneckEncoder,
}


def _first(dropout: float | list[float]) -> float:
    return dropout[0] if isinstance(dropout, list) else dropout
