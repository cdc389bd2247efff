"""The autoencoder: OpenNMT-py's NMTModel, with the rate beside the decoder's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import torch
from onmt.constants import DefaultTokens
from onmt.models import NMTModel
from onmt.modules.embeddings import PositionalEncoding
from torch import Tensor, nn

from onmt_lattice.bottlenecks import BottleneckOutput
from onmt_lattice.noise import Noise, StreamNoise
from onmt_lattice.opennmt.model import gru
from onmt_lattice.opennmt.model.encoder import BottleneckEncoder

Model = TypeVar("Model", bound=nn.Module)
SPECIAL = frozenset(
    (DefaultTokens.UNK, DefaultTokens.PAD, DefaultTokens.BOS, DefaultTokens.EOS)
)  # tokens of every vocabulary that are not words


class Autoencoder(NMTModel):
    """Encoder, bottleneck and decoder; the attention dictionary has the sentence's rate."""

    encoder: BottleneckEncoder
    bf16 = False  # whether training multiplies matrices in bfloat16

    def autoencode(
        self, src: Tensor, tgt: Tensor, lengths: Tensor, noise: Noise, relaxed: bool = False
    ) -> tuple[Tensor, BottleneckOutput]:
        """Run a batch through the quantized channel, or the ``relaxed`` one of training.

        Return the decoder's outputs ``(tgt_len - 1, batch, dim)``, and the bottleneck's.
        """
        through = self.encoder.bottlenecked(self.encoder.represent(src, lengths), noise, relaxed)
        return self.decode(tgt, through.output), through

    def decode(self, tgt: Tensor, output: Tensor) -> Tensor:
        """Return the decoder's outputs for ``tgt``, given the bottleneck's ``output``."""
        decoder, (state, memory, lengths) = self.decoder, self.encoder.for_decoder(output)
        decoder.init_state(memory, memory, state)
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
    """Return ``model``, with the tables of position encodings no longer in its state."""
    for module in model.modules():
        if isinstance(module, PositionalEncoding):
            module.register_buffer("pe", module.pe, persistent=False)
    return model


def trainable(model: nn.Module) -> list[str]:
    """Return the names of the parameters that an optimizer updates, in its order."""
    return [name for name, p in model.named_parameters() if p.requires_grad]


def renamed(state: dict[str, Any], names: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the state of a torch optimizer for the parameters in ``names``, by new names."""
    (group,) = state["param_groups"]
    return {
        "state": {new: state["state"][old] for old, new in names.items() if old in state["state"]},
        "param_groups": [{**group, "params": list(names.values())}],
    }
