"""The decoder of a trained autoencoder as a model of tokens, the same on any machine."""

from __future__ import annotations

import numpy as np
from onmt.transforms import TransformPipe
from torch import Tensor, nn

from onmt_lattice.bitstream.exact import Floats
from onmt_lattice.bitstream.lossless.decoder import Affine, Layer, RecurrentDecoder
from onmt_lattice.bitstream.lossless.lines import Vocabulary
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder
from onmt_lattice.opennmt.data.sentences import segmented, undo

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def token_model(loaded: LoadedAutoencoder) -> RecurrentDecoder:
    """Return the decoder, from the input of ``map_out`` on, in exact arithmetic."""
    model = loaded.model
    if model.decoder.attentional:
        raise UserError(
            "its decoder attends to slots, but lossless coding has exact arithmetic only for RNN "
            "decoders without attention; compress without -lossless, or train one"
        )
    if loaded.opt.position_encoding:
        raise UserError("-position_encoding: not possible in lossless coding; train without it")
    rnn = model.decoder.rnn
    parameters = {name: _numbers(value) for name, value in rnn.named_parameters()}
    layers = [
        Layer(*(parameters[f"{name}_l{i}"] for name in PARAMETERS)) for i in range(rnn.num_layers)
    ]
    embeddings = _numbers(model.decoder.embeddings.word_lut.weight)
    first = model.encoder.bottleneck.map_out
    return RecurrentDecoder(
        embeddings,
        layers,
        _affine(model.generator[0]),
        _affine(first) if isinstance(first, nn.Linear) else None,
    )


def vocabulary(loaded: LoadedAutoencoder) -> Vocabulary:
    """Return the tokens that the decoder knows."""
    field = loaded.fields["tgt"].base_field
    marks = (field.unk_token, field.init_token, field.eos_token, field.pad_token)
    return Vocabulary(field.vocab.itos, *(field.vocab.stoi[mark] for mark in marks))


class Pipeline:
    """A :class:`~onmt_lattice.bitstream.lossless.lines.Segmentation` by the model's transforms."""

    def __init__(self, pipe: TransformPipe) -> None:
        self.pipe = pipe

    def tokens(self, line: str) -> list[str]:
        """Return the tokens of ``line``, or none."""
        return segmented(line.split(), self.pipe)

    def text(self, tokens: list[str]) -> str:
        """Return the line of ``tokens``."""
        return undo(self.pipe, " ".join(tokens))


def _affine(linear: nn.Linear) -> Affine:
    return Affine(_numbers(linear.weight), _numbers(linear.bias))


def _numbers(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().double().cpu().numpy())
