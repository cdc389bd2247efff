"""The exact decoder against the trained one, and segmentations under which any text comes back."""

from __future__ import annotations

import math
from argparse import Namespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import NEEDS_PYONMTTOK, Build, Corpus, Trained
from hypothesis import given, settings
from hypothesis import strategies as st
from onmt.transforms import TransformPipe

from onmt_lattice.bitstream.coder import Meter
from onmt_lattice.bitstream.exact import Floats
from onmt_lattice.bitstream.lossless.lines import PATCHED, PLAIN, RAW, LosslessCodec, Vocabulary
from onmt_lattice.bitstream.lossless.tokens import TokenCodec
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder, load_autoencoder
from onmt_lattice.opennmt.data.sentences import (
    Sentence,
    read_sentences,
    token_index,
    trained_transforms,
)
from onmt_lattice.opennmt.inference.lossless_text import Pipeline, token_model, vocabulary

ROWS = 12

SHAPES: dict[str, dict[str, Any]] = {
    "gru": {},
    "lstm": {"rnn_type": "LSTM"},
    "two layers": {"layers": 2, "rnn_type": "LSTM", "bottleneck_site": "all"},
    "shared": {"layers": 2, "bottleneck_site": "top"},
    "no maps": {"bottleneck": "ste_scalar", "bottleneck_dim": None, "levels": 3},
}


def built(build: Build, **changes: Any) -> LoadedAutoencoder:
    """Return an untrained model, its weights as wide as those of trained ones."""
    trainer = build(**{"rnn_type": "GRU", "param_init": 0.5, **changes})
    saver = trainer.model_saver
    trainer.model.eval()
    return LoadedAutoencoder(trainer.model, saver.fields, saver.model_opt, 0, 0.0)


def values_for(loaded: LoadedAutoencoder, rows: int = ROWS) -> Floats:
    dim = loaded.model.encoder.bottleneck.dim
    return np.random.default_rng(0).standard_normal((rows, dim)) * 2


def sentences_of(loaded: LoadedAutoencoder, corpus: Corpus, count: int = ROWS) -> list[Sentence]:
    lines = [line for line in corpus.test.read_text().splitlines() if line.split()]
    return read_sentences(lines[:count], TransformPipe.build_from([]), token_index(loaded))


def nll_bits(loaded: LoadedAutoencoder, sentences: list[Sentence], values: Floats) -> float:
    """Return the NLL of ``sentences`` by the network itself."""
    total = 0.0
    model, vocab = loaded.model, loaded.fields["tgt"].base_field.vocab.stoi
    for sentence, row in zip(sentences, values, strict=True):
        ids = [vocab.get(token, vocab["<unk>"]) for token in sentence.tokens]
        tgt = torch.tensor([vocab["<s>"], *ids, vocab["</s>"]])[:, None, None]
        y = torch.from_numpy(row).float()[None]
        with torch.inference_mode():
            output = model.encoder.bottleneck.map_out(y)
            decoded = model.decode(tgt, output)
            total -= model.generator(decoded).squeeze(1).gather(1, tgt[1:, 0]).sum().item()
    return total / math.log(2)


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_cost_what_the_decoder_says(corpus: Corpus, build: Build, shape: str) -> None:
    loaded = built(build, **SHAPES[shape])
    known, sentences, values = vocabulary(loaded), sentences_of(loaded, corpus), values_for(loaded)
    indices = {token: i for i, token in enumerate(known.tokens)}
    ids = [[indices.get(token, known.unknown) for token in s.tokens] for s in sentences]
    meter = Meter()
    TokenCodec(token_model(loaded), known.begin, known.end).code(meter, values, ids)
    assert meter.total == pytest.approx(nll_bits(loaded, sentences, values), rel=1e-3)


def test_what_is_no_table_of_words_is_refused(build: Build) -> None:
    with pytest.raises(UserError, match="-position_encoding"):
        token_model(built(build, position_encoding=True, word_vec_size=16))


TOKENIZER = {"joiner_annotate": True, "case_markup": True, "mode": "aggressive"}
PIPELINES = [
    ["bpe"],
    ["sentencepiece"],
    pytest.param(["onmt_tokenize"], marks=NEEDS_PYONMTTOK),
    ["prefix", "filtertoolong"],
    [],
]


Segmented = tuple[LoadedAutoencoder, Pipeline, Vocabulary]


@pytest.fixture(scope="module", params=PIPELINES, ids=lambda names: "+".join(names) or "words")
def pipeline(
    request: pytest.FixtureRequest,
    corpus: Corpus,
    trained: Trained,
    tmp_path_factory: pytest.TempPathFactory,
) -> Segmented:
    """A model, a pipeline of transforms and a vocabulary as if it had been trained with these."""
    names = request.param
    loaded = load_autoencoder(trained("lattice_z"))
    entry = {"transforms": names, "src_prefix": "<en>", "tgt_prefix": "<en>"}
    loaded.opt.data = {"valid": entry}
    for kind in {"bpe", "sentencepiece"} & set(names):
        path = str(corpus.subwords(tmp_path_factory.mktemp(kind) / "subwords", kind, 200))
        loaded.opt.src_subword_model = loaded.opt.tgt_subword_model = path
    if "onmt_tokenize" in names:
        set_tokenizer(loaded.opt)
    segmentation = Pipeline(trained_transforms(loaded))
    known = vocabulary(loaded)
    tokens = {
        t: 0 for line in corpus.train.read_text().splitlines() for t in segmentation.tokens(line)
    }
    others = [token for token in (*tokens, *known.tokens) if token not in known.tokens[:4]]
    size = len(known.tokens)
    return loaded, segmentation, known._replace(tokens=[*known.tokens[:4], *others][:size])


def set_tokenizer(opt: Namespace) -> None:
    for side in ("src", "tgt"):
        setattr(opt, f"{side}_subword_type", "none")
        setattr(opt, f"{side}_onmttok_kwargs", TOKENIZER)


def round_trip(pipeline: Segmented, lines: list[bytes]) -> list[int]:
    """Check that ``lines`` come back, and return their kinds."""
    loaded, segmentation, known = pipeline
    model = token_model(loaded)
    writer, reader = (LosslessCodec(segmentation, known, model) for _ in range(2))
    planned = writer.plan(lines)
    values = values_for(loaded, len(lines))
    sections = writer.encode(planned, values[: sum(line.kind != RAW for line in planned)])
    assert reader.decode(sections, len(lines), lambda offsets: values[: len(offsets)]) == lines
    return [line.kind for line in planned]


def test_sentences_of_the_corpus_are_plain(
    corpus: Corpus, pipeline: Segmented, request: pytest.FixtureRequest
) -> None:
    lines = [line for line in corpus.train.read_bytes().splitlines() if line.split()][:20]
    names = [type(transform).__name__ for transform in pipeline[1].pipe.transforms]
    # A prefix is no part of the line.
    expected = {PATCHED} if names == ["PrefixTransform"] else {PLAIN}
    assert set(round_trip(pipeline, lines)) == expected


def test_kinds_of_lines(build: Build) -> None:
    """A word out of the vocabulary is spelled, what a segmentation drops is a patch at its side."""
    kinds = {
        b"the man sees a dog": PLAIN,
        b"the man sees a zyzzyva": PLAIN,
        b"the man  sees a dog\r": PATCHED,
        b" the man": PATCHED,
        **dict.fromkeys([b"", b"  ", b"the man \xff", b"Ein Mann reitet the dog"], RAW),
        b"the man " * 600: RAW,
        b"the " + b"x" * 600: RAW,
    }
    loaded = built(build)
    segmentation = Pipeline(TransformPipe.build_from([]))
    found = round_trip((loaded, segmentation, vocabulary(loaded)), [*kinds])
    assert found == [*kinds.values()]


MARKS = "<unk> <s> </s> <blank> @@ a@@ ▁ ▁the ￭ ｟mrk_case_modifier_C｠".split()
STRANGE = [*"日本語のテキスト مرحبا İı ﬁ 🏳️‍🌈".split(), "e\u0301", "\u2028", "\0", "\x0c", "\ufeff"]
SPACES = [" ", "  ", "\t", "\r", "\u00a0", "\u3000", ""]
WORD = st.one_of(
    st.sampled_from(["the", "a", "man", "sees", "The", "HOUSE", "don't", "end.", *MARKS, *STRANGE]),
    st.text(max_size=6),
)
LINE = st.one_of(
    st.lists(st.tuples(WORD, st.sampled_from(SPACES)), max_size=10).map(
        lambda pairs: "".join(map("".join, pairs)).encode("utf-8", "surrogatepass")
    ),
    st.binary(max_size=20),
).map(lambda line: line.replace(b"\n", b""))


@settings(max_examples=40, deadline=None)
@given(lines=st.lists(LINE, max_size=4))
def test_any_lines_come_back(pipeline: Segmented, lines: list[bytes]) -> None:
    round_trip(pipeline, lines)
