"""Slots: transformers and attention through the bottleneck, which stays the only path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Build, Corpus, Mistake, batch_of, free_port, lines_of, run, train
from test_encoder import Constant
from torch import Tensor

import onmt_lattice
from onmt_lattice.bottlenecks import BottleneckConfig
from onmt_lattice.noise import SentenceNoise

SLOTS: dict[str, Any] = {
    **{"encoder_type": "bottleneck_transformer", "bottleneck_slots": 3, "bottleneck_dim": 16},
    **{"rnn_size": 16, "word_vec_size": 16, "heads": 2, "transformer_ff": 32, "param_init": None},
}
SIZES = {"enc_rnn_size": 32, "dec_rnn_size": 32}
RNN_DECODER = {"decoder_type": "rnn", "global_attention": "general"}
# Every encoder that has slots with every decoder that reads them.
MODELS: dict[str, dict[str, Any]] = {
    "transformers": SLOTS,
    "transformer, GRU": {**SLOTS, **RNN_DECODER},
    "GRUs": {**SLOTS, **RNN_DECODER, "encoder_type": "bottleneck_brnn"},
    "GRU, transformer": {
        **{**SLOTS, "encoder_type": "bottleneck_brnn", "decoder_type": "transformer"}
    },
    "LSTMs": {**SLOTS, **RNN_DECODER, "encoder_type": "bottleneck_brnn", "rnn_type": "LSTM"},
    "last state, transformer": {
        **{**SLOTS, "encoder_type": "bottleneck_brnn", "decoder_type": "transformer"},
        "bottleneck_slots": 1,
    },
}
models = pytest.mark.parametrize("changes", MODELS.values(), ids=list(MODELS))


@models
def test_slots_are_all_that_the_decoder_reads(build: Build, changes: dict[str, Any]) -> None:
    trainer = build(**changes)
    model, encoder = trainer.model.eval(), trainer.model.encoder
    read: list[tuple[Any, ...]] = []
    model.decoder.register_forward_hook(
        lambda _, args, kwargs, out: read.append((*args[1:], *kwargs.values())), with_kwargs=True
    )
    lines = sorted(lines_of(800, 1), key=len)
    first, second = (batch_of(trainer, part) for part in (lines[:8], lines[-8:]))
    assert first.src[0].shape != second.src[0].shape

    def decoded() -> list[Tensor]:
        noise = SentenceNoise(0, list(range(8)))
        return [
            model.autoencode(*(b.src[0], first.tgt, b.src[1]), noise)[0] for b in (first, second)
        ]

    own, other = decoded()
    assert not torch.allclose(own, other, atol=1e-4)
    encoder.bottleneck = Constant(encoder.bottleneck.input_dim, BottleneckConfig())
    own, other = decoded()
    assert torch.equal(own, other)
    k = changes["bottleneck_slots"]
    for memory, lengths in read:
        assert memory.shape == (k, 8, 16) and lengths.tolist() == [k] * 8


@pytest.mark.parametrize(
    "changes", [*MODELS.values(), *({"layers": 2, "rnn_type": name} for name in ("GRU", "LSTM"))]
)
def test_x_does_not_depend_on_neighbours(build: Build, changes: dict[str, Any]) -> None:
    trainer = build(**changes)
    lines = lines_of(800, 1)[:6]
    together = batch_of(trainer, lines)
    x = trainer.model.encoder.represent(*together.src)
    assert x.shape == (6, trainer.model.encoder.bottleneck.input_dim)
    for row, index in enumerate(together.indices.tolist()):
        alone = trainer.model.encoder.represent(*batch_of(trainer, [lines[index]]).src)
        torch.testing.assert_close(alone[0], x[row], rtol=1e-4, atol=1e-5)


def test_how_a_transformer_begins(build: Build) -> None:
    """OpenNMT-py's param_init has gone over neither its norms nor the queries."""
    model = build(**SLOTS).model
    assert model.encoder.embeddings.position_encoding
    assert model.decoder.embeddings.position_encoding
    assert not any(name.endswith(".pe") for name in model.state_dict())  # it can be computed
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            assert (module.weight == 1).all() and not module.bias.any()
    queries = model.encoder.slots.queries
    assert queries.shape == (3, 16) and 0.5 < queries.std() < 2
    assert torch.linalg.matrix_norm(model.encoder.bottleneck.map_in.weight, 2) > 1


# ---- through the command line --------------------------------------------------------------------


@pytest.fixture(scope="module")
def slots(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer, trained and quantized."""
    folder = tmp_path_factory.mktemp("slots")
    config = corpus.yaml(folder / "a.yaml", **SLOTS, save_model=str(folder / "model"))
    train(config)
    model, output = folder / "model_step_60.safetensors", folder / "e8.safetensors"
    words = ("-lattice", "E8", "-src", corpus.train, "-fit_sentences", 200, "-output", output)
    run("quantize", "-model", model, *words)
    return output


def test_it_decodes_as_opennmt_does(slots: Path, corpus: Corpus, tmp_path: Path) -> None:
    """Slots stay what they are while sentences that have ended leave the batch."""
    found, searches = [], {"greedy": (), "search": ("-min_length", 1), "beam": ("-beam_size", 4)}
    for name, words in searches.items():
        output = tmp_path / name
        run("translate", "-model", slots, "-src", corpus.test, "-output", output, *words)
        found.append(output.read_text().splitlines())
    assert found[0] == found[1] and len(set(map(len, found[0]))) > 2
    assert len(found[2]) == len(found[0])
    run("evaluate", "-model", slots, "-src", corpus.test, "-reconstruct", tmp_path / "again")
    assert (tmp_path / "again").read_text().splitlines() == found[0]


def test_what_is_decoded_is_what_is_scored(slots: Path) -> None:
    """Word by word with a cache, a decoder gives the probabilities that it gives all at once."""
    loaded = onmt_lattice.load(str(slots))._loaded
    model = loaded.model
    output = torch.randn(5, model.encoder.bottleneck.input_dim)
    tgt = torch.randint(4, 20, (7, 5, 1))
    with torch.no_grad():
        at_once = model.decode(tgt, output)
        state, memory, lengths = model.encoder.for_decoder(output)
        model.decoder.init_state(memory, memory, state)
        steps = [
            model.decoder(tgt[i : i + 1], memory, memory_lengths=lengths, step=i)[0][0]
            for i in range(6)
        ]
    torch.testing.assert_close(torch.stack(steps), at_once, rtol=1e-4, atol=1e-5)


def test_texts_vectors_and_bytes(slots: Path, mistake: Mistake, corpus: Corpus) -> None:
    model = onmt_lattice.load(str(slots))
    lines = lines_of(5, 7)
    vectors = model.encode(lines)
    assert vectors.shape == (5, 3 * 16)
    assert model.decode(model.encode(lines, points=True)) == model.decode(vectors)
    data = model.compress(lines)
    assert len(model.decompress(data)) == 5
    evaluation, folder = slots.with_name("e8.json"), slots.with_name("exported")
    run("evaluate", "-model", slots, "-src", corpus.test, "-output", evaluation)
    run("export", "-model", slots, "-evaluation", evaluation, "-output", folder)
    assert onmt_lattice.load(str(folder)).decompress(data) == model.decompress(data)
    words = ("-model", slots, "-src", corpus.test, "-output", slots.with_name("test.olz"))
    assert "attends to slots" in mistake("compress", "-lossless", *words)


@pytest.mark.usefixtures("forked")
def test_several_processes(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", **SLOTS, save_model=str(tmp_path / "model"))
    several = ("-world_size", 2, "-gpu_ranks", 0, 1, "-gpu_backend", "gloo")
    train(config, "-train_steps", 4, "-valid_steps", 4, "-master_port", free_port(), *several)
    assert (tmp_path / "model_step_4.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bottleneck_slots": 0}, "-bottleneck_slots 0: expected at least 1"),
        ({"bottleneck_slots": 4}, "-bottleneck_slots 4: an RNN decoder without attention reads"),
        ({**SLOTS, "bottleneck_site": "all"}, "-bottleneck_site all: is for an RNN's last states"),
        ({**SLOTS, "bridge": True}, "-bridge True: is for an RNN's last states"),
        ({**SLOTS, "heads": 3}, "-heads 3: expected a divisor of -rnn_size 16"),
        ({**SLOTS, "word_vec_size": 8}, "-src_word_vec_size 8: expected -rnn_size, 16"),
        ({**SLOTS, "position_encoding": False}, "-position_encoding false: a transformer needs it"),
        (
            {**SIZES, "rnn_size": None, "decay_method": "noam"},
            "-decay_method noam: depends on -rnn_size; set that",
        ),
        ({**SLOTS, "copy_attn": True}, "-copy_attn True: must be False here, as copying reads"),
        ({**SLOTS, "decoder_type": "cnn"}, "-decoder_type cnn: must be rnn or transformer here"),
        ({**SLOTS, "label_smoothing": 0.1}, "a smoothed loss is not a code length"),
    ],
)
def test_what_is_refused(refused: Mistake, changes: dict[str, Any], said: str) -> None:
    assert said in refused(**changes)


def test_a_run_keeps_its_slots(slots: Path, refused: Mistake) -> None:
    said = refused(**{**SLOTS, "bottleneck_slots": 2}, train_from=str(slots), train_steps=70)
    assert "its bottleneck is bottleneck lattice, bottleneck_slots 3" in said
