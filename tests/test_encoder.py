"""The encoder: what X is, and that the bottleneck is the only path to the decoder."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from conftest import Build, batch_of, lines_of
from onmt.encoders.rnn_encoder import RNNEncoder
from torch import Tensor

from onmt_lattice.bottlenecks import Bottleneck, BottleneckConfig, BottleneckOutput
from onmt_lattice.noise import Noise, SentenceNoise

SHAPES = [
    {"bottleneck_site": site, "rnn_type": rnn_type, "layers": layers}
    for site, rnn_type, layers in product(("top", "all"), ("GRU", "LSTM"), (1, 2))
]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
UNPRICED = {"bottleneck": "none", "bottleneck_dim": None}


class Constant(Bottleneck):
    """The same output for every sentence."""

    def relaxed(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        return BottleneckOutput(torch.full_like(x, 0.3), x.new_zeros(len(x)).double(), None)

    quantized = relaxed


def decoded(model: Any, src: Any, tgt: Any, relaxed: bool) -> Tensor:
    noise = SentenceNoise(0, list(range(tgt.shape[1])))
    return model.autoencode(*[src[0], tgt, src[1]], noise, relaxed)[0]


@shapes
def test_without_the_bottleneck_the_decoder_knows_nothing_of_the_source(
    build: Build, shape: dict[str, Any]
) -> None:
    trainer = build(**UNPRICED, **shape, bridge=True)
    model, encoder = trainer.model, trainer.model.encoder
    train = lines_of(800, 1)
    first, second = (batch_of(trainer, train[a : a + 8]) for a in (0, 8))
    for relaxed in (False, True):
        own, other = (decoded(model, b.src, first.tgt, relaxed) for b in (first, second))
        assert not torch.allclose(own, other, atol=1e-4)
    encoder.bottleneck = Constant(encoder.bottleneck.input_dim, BottleneckConfig())
    for relaxed in (False, True):
        own, other = (decoded(model, b.src, first.tgt, relaxed) for b in (first, second))
        assert torch.equal(own, other)
    # OpenNMT-py's own callers take the encoder's three results, in either mode.
    for training in (True, False):
        model.train(training)
        results = [encoder(*b.src) for b in (first, second)]
        for part, counterpart in zip(*(_flat(state) for state, _, _ in results), strict=True):
            assert torch.equal(part, counterpart)
        for one, other in zip(results[0][1:], results[1][1:], strict=True):
            assert torch.equal(one, other)


@shapes
def test_all_states_through_no_bottleneck_are_what_opennmt_passes(
    build: Build, shape: dict[str, Any]
) -> None:
    trainer = build(**UNPRICED, **shape)
    model, encoder = trainer.model, trainer.model.encoder
    batch = batch_of(trainer, lines_of(800, 1)[:8])
    final, _, _ = RNNEncoder.forward(encoder, *batch.src)
    decoder = model.decoder
    decoder.bidirectional_encoder = True  # how OpenNMT-py joins the directions of its own brnn
    decoder.init_state(batch.src[0], None, final)
    native = decoder.state["hidden"]
    x = encoder.represent(*batch.src)
    through = encoder.bottlenecked(x, SentenceNoise(0, list(range(8))), relaxed=False)
    state = encoder.for_decoder(through.output).state
    for ours, theirs in zip(_flat(state), native, strict=True):
        expected = theirs if shape["bottleneck_site"] == "all" else theirs[-1:].expand_as(ours)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def _flat(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)
