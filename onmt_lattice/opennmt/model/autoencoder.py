"""The autoencoder: OpenNMT-py's NMTModel, returning the rate beside the decoder's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, cast

import torch
from onmt.constants import DefaultTokens
from onmt.models import NMTModel
from onmt.modules.embeddings import PositionalEncoding
from torch import Tensor, nn

from onmt_lattice.bottlenecks import Bottlenecked
from onmt_lattice.noise import Noise, StreamNoise
from onmt_lattice.opennmt.model import gru
from onmt_lattice.opennmt.model.encoder import BottleneckEncoder

Model = TypeVar("Model", bound=nn.Module)
SPECIAL = frozenset(
    (DefaultTokens.UNK, DefaultTokens.PAD, DefaultTokens.BOS, DefaultTokens.EOS)
)  # tokens of every vocabulary that are no words


class Autoencoded(NamedTuple):
    """A pass through encoder, bottleneck and decoder.

    Attributes:
        decoded: ``(tgt_len - 1, batch, dim)``, the decoder's outputs before the generator.
        through: what the bottleneck made of the batch.
    """

    decoded: Tensor
    through: Bottlenecked


class Autoencoder(NMTModel):
    """Encoder, bottleneck and decoder; the sentence's rate rides in the attention dictionary."""

    encoder: BottleneckEncoder
    bf16 = False  # whether training multiplies matrices in bfloat16

    def autoencode(
        self, src: Tensor, tgt: Tensor, lengths: Tensor, noise: Noise, relaxed: bool = False
    ) -> Autoencoded:
        """Run a batch through the quantized channel, or through the relaxed one of training.

        Args:
            src: ``(src_len, batch, 1)`` token indices.
            tgt: ``(tgt_len, batch, 1)`` token indices with begin and end of sentence.
            lengths: ``(batch,)`` source lengths, descending.
            noise: source of dither and noise.
            relaxed: which channel.
        """
        x = self.encoder.represent(src, lengths)
        through = self.encoder.bottlenecked(x, noise, relaxed)
        return Autoencoded(self.decode(tgt, through.output), through)

    def decode(self, tgt: Tensor, output: Tensor) -> Tensor:
        """Return the decoder's outputs for ``tgt`` ``(tgt_len, batch, 1)``.

        Args:
            tgt: with begin and end of sentence.
            output: ``(batch, m)``, the bottleneck's.
        """
        decoder, (state, memory, lengths) = self.decoder, self.encoder.for_decoder(output)
        decoder.init_state(memory, memory, state)  # whose first stands for the source
        if not decoder.attentional and gru.applies(decoder.rnn, decoder.embeddings):
            words = gru.words(decoder.embeddings, tgt[:-1, :, 0])
            rows, _ = gru.run(decoder.rnn, words, cast(Tensor, state))
            return cast(Tensor, decoder.dropout(rows.view(len(tgt) - 1, len(output), -1)))
        decoded, _ = decoder(tgt[:-1], memory, memory_lengths=lengths)
        return cast(Tensor, decoded)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        lengths: Tensor,
        bptt: bool = False,
        with_align: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :meth:`NMTModel.forward`; ``attns`` has the rate and the penalty, ``(batch,)``."""
        with torch.autocast(src.device.type, torch.bfloat16, enabled=self.bf16):
            decoded, through = self.autoencode(src, tgt, lengths, StreamNoise(), self.training)
        decoded = decoded.bfloat16() if self.bf16 else decoded
        cost = {"rate_nats": through.rate_nats}
        return decoded, cost if through.penalty is None else {**cost, "penalty": through.penalty}


def without_positions(model: Model) -> Model:
    """Return ``model``, whose state is without the tables of position encodings."""
    for module in model.modules():
        if isinstance(module, PositionalEncoding):
            module.register_buffer("pe", module.pe, persistent=False)
    return model


def trainable(model: nn.Module) -> list[str]:
    """Return the names of the parameters that an optimizer has, in its order."""
    return [name for name, p in model.named_parameters() if p.requires_grad]


def renamed(state: dict[str, Any], names: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the state of a torch optimizer with other ``names`` for its parameters."""
    groups = state["param_groups"]
    return {
        "state": {
            names[p]: state["state"][p] for g in groups for p in g["params"] if p in state["state"]
        },
        "param_groups": [{**g, "params": [names[p] for p in g["params"]]} for g in groups],
    }
