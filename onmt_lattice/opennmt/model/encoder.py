"""The encoder: a bidirectional RNN, the sentence vector X, and the bottleneck behind it."""

from __future__ import annotations

from argparse import Namespace
from typing import cast

import torch
from onmt.encoders.rnn_encoder import RNNEncoder
from onmt.modules.embeddings import Embeddings
from torch import Tensor

from onmt_lattice.bottlenecks import Bottlenecked
from onmt_lattice.noise import Noise, StreamNoise
from onmt_lattice.opennmt.model import gru
from onmt_lattice.opennmt.model.devices import matmul_precision
from onmt_lattice.opennmt.options.configuration import make_bottleneck_from_opt, representation_dim

State = Tensor | tuple[Tensor, ...]


class BottleneckEncoder(RNNEncoder):
    """OpenNMT-py's two-directional RNN encoder with a bottleneck as its only way out.

    X ``(batch, m)`` is the top layer's final state in both directions (site ``top``), or every
    layer's (site ``all``); for an LSTM, hidden and cell states. The state handed to the decoder
    is a function of the bottleneck's output alone, and the memory bank is all zeros.
    """

    def __init__(self, opt: Namespace, embeddings: Embeddings) -> None:
        dropout = opt.dropout[0] if isinstance(opt.dropout, list) else opt.dropout
        super().__init__(
            opt.rnn_type, True, opt.enc_layers, opt.enc_rnn_size, dropout, embeddings, opt.bridge
        )
        self.site = opt.bottleneck_site
        self.state_dim = opt.enc_rnn_size
        self.decoder_layers = opt.dec_layers
        self.states = 2 if opt.rnn_type == "LSTM" else 1
        self.bottleneck = make_bottleneck_from_opt(opt, representation_dim(opt))

    @classmethod
    def from_opt(cls, opt: Namespace, embeddings: Embeddings) -> BottleneckEncoder:
        """Build the encoder from OpenNMT-py's options."""
        return cls(opt, embeddings)

    def represent(self, src: Tensor, lengths: Tensor) -> Tensor:
        """Return X ``(batch, m)`` of ``src`` ``(src_len, batch, 1)``."""
        final = self._last_states(src, lengths)
        states = final if isinstance(final, tuple) else (final,)
        # (layers * directions, batch, dim) -> (layers, batch, directions * dim)
        joined = [torch.cat([s[0::2], s[1::2]], dim=2) for s in states]
        layers = [s[-1:] if self.site == "top" else s for s in joined]
        return torch.cat([s.transpose(0, 1).flatten(1) for s in layers], dim=1)

    def _last_states(self, src: Tensor, lengths: Tensor) -> State:
        """Return every layer's last states, ``(layers * directions, batch, dim)`` each."""
        if not gru.applies(self.rnn, self.embeddings):
            final, _, _ = super().forward(src, lengths)
            return cast(State, final)
        _, final = gru.run(self.rnn, gru.words(self.embeddings, src[:, :, 0], lengths))
        return cast(State, self._bridge(final)) if self.use_bridge else final

    def decoder_state(self, y: Tensor) -> State:
        """Return the decoder's first state, ``(layers, batch, dim)``, from ``y`` ``(batch, m)``."""
        states = tuple(
            part.view(len(y), -1, self.state_dim)
            .transpose(0, 1)
            .expand(self.decoder_layers, -1, -1)
            .contiguous()
            for part in y.chunk(self.states, dim=1)
        )
        return states if self.states > 1 else states[0]

    def bottlenecked(self, x: Tensor, noise: Noise, relaxed: bool) -> Bottlenecked:
        """Return what the quantized or ``relaxed`` channel makes of X, in single precision."""
        channel = self.bottleneck.relaxed if relaxed else self.bottleneck.quantized
        with torch.autocast(x.device.type, enabled=False), matmul_precision("highest"):
            return channel(x.float(), noise)

    def empty_memory(self, src: Tensor) -> Tensor:
        """Return the zeros ``(src_len, batch, dim)`` that stand for a memory bank."""
        weight = self.embeddings.word_lut.weight
        return weight.new_zeros(src.shape[0], src.shape[1], self.state_dim)

    def forward(self, src: Tensor, lengths: Tensor) -> tuple[State, Tensor, Tensor]:
        """Encode as OpenNMT-py's own callers do, with noise from the global generator."""
        x = self.represent(src, lengths)
        through = self.bottlenecked(x, StreamNoise(), relaxed=self.training)
        return self.decoder_state(through.output), self.empty_memory(src), lengths
