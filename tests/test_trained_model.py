"""A trained model for programs says what the commands say."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import Corpus, Trained

import onmt_lattice as ol
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.commands.evaluate import EvaluateOptions, evaluate
from onmt_lattice.opennmt.inference.lossless_text import load_lossless
from onmt_lattice.opennmt.inference.trained_model import TrainedModel

SENTENCES = ["the old baker sleeps", "", "a zyzzyva  sees ", "the dogs run"]


@pytest.fixture(scope="module")
def model(trained: Trained) -> TrainedModel:
    return ol.load(trained("lattice_a2"))


def test_scores_are_as_evaluated(model: TrainedModel, trained: Trained, corpus: Corpus) -> None:
    lines = corpus.test.read_text(encoding="utf-8").split("\n")[:-1]
    scores = model.score(lines)
    model = str(trained("lattice_a2"))
    e = evaluate(model, EvaluateOptions(model=[model], src=str(corpus.test)))
    assert len(scores.rate_bits) == len(lines) and np.isnan(scores.nll_bits[0])
    assert np.nanmean(scores.rate_bits) == pytest.approx(e.rate.sentence)
    assert np.nanmean(scores.nll_bits) == pytest.approx(e.nll.sentence)


def test_vectors_and_points_say_the_same_sentences(model: TrainedModel) -> None:
    vectors, points = model.encode(SENTENCES), model.encode(SENTENCES, points=True)
    assert vectors.dtype == np.float32 and points.dtype == np.int64
    assert np.isnan(vectors[1]).all() and not np.isnan(vectors[[0, 2, 3]]).any()
    said = model.decode(vectors)
    assert said == model.decode(points) and said[1] == ""
    back = model.decompress(model.compress(SENTENCES))
    assert [line == "" for line in back] == [line == "" for line in SENTENCES]
    assert len(model.decode(vectors, beam_size=2, max_length=3)) == 4


def test_lossless_bytes_are_the_very_sentences(model: TrainedModel) -> None:
    data = model.compress(SENTENCES, lossless=True, seed=5)
    assert model.decompress(data) == SENTENCES
    assert model.compress(["", " \r"], lossless=True) != data
    assert model.decompress(model.compress(["", " \r"], lossless=True)) == ["", " \r"]


def test_a_lossless_file_of_a_command_may_hold_any_bytes(
    model: TrainedModel, trained: Trained
) -> None:
    lossless = load_lossless(str(trained("lattice_a2")))
    texts = {b"the dogs run\na dog": ["the dogs run", "a dog"], b"\n": [""], b"": []}
    for text, lines in texts.items():
        assert model.decompress(lossless.compress(text)) == lines
    with pytest.raises(UserError, match="not UTF-8; 'onmt_lattice decompress' writes its bytes"):
        model.decompress(lossless.compress(b"the \xff\n"))


def test_threads_may_share_a_model(model: TrainedModel) -> None:
    alone = model.encode(SENTENCES)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(model.encode, [SENTENCES] * 8):
            np.testing.assert_array_equal(found, alone)
    assert torch.backends.cudnn.allow_tf32  # as torch has it


def test_threads_that_decode_take_turns(model: TrainedModel) -> None:
    texts = [SENTENCES[:count] for count in (4, 1, 3, 4, 1, 3, 4, 3)]

    def work(text: list[str]) -> tuple[list[str], bytes, bytes]:
        data = model.compress(text, lossless=True)
        assert model.decompress(data) == text
        said = model.decompress(model.compress(text), beam_size=2)
        return said, model.score(text).nll_bits.tobytes(), data

    alone = [work(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, texts)) == alone


def test_numbers_that_the_commands_refuse(model: TrainedModel) -> None:
    with pytest.raises(UserError, match="-seed -1: expected at least 0"):
        model.compress(SENTENCES, seed=-1)
    with pytest.raises(UserError, match="-max_length 0: expected at least 1"):
        model.decompress(b"", max_length=0)
    with pytest.raises(UserError, match="vectors that are no array, expected rows of one width"):
        model.decode([[1.0], [1.0, 2.0]])
    with pytest.raises(UserError, match="a vectors file: expected one that is lossy"):
        model.decompress(
            ol.VectorCodec.fit(np.eye(100, 2), "Z", noise=0.01).compress(np.eye(100, 2))
        )
    with pytest.raises(UserError, match="-batch_size 0: expected at least 1"):
        TrainedModel("any", batch_size=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a dog", "'a dog': expected a list of sentences"),
        ([1], "expected a list of sentences, each a str"),
        (None, "'None': expected a list of sentences"),
        ([], "no sentences: expected one or more"),
        (["a", "b\nc"], "sentence 2 has a line feed in it"),
        (["a", "b\ud800"], "sentence 2 is not UTF-8: surrogates"),
    ],
)
def test_what_is_no_list_of_sentences(model: TrainedModel, given: list[str], message: str) -> None:
    for work in (model.encode, model.compress, model.score):
        with pytest.raises(UserError) as error:
            work(given)
        assert message in str(error.value)


def test_the_import_is_light() -> None:
    code = "import sys, onmt_lattice as ol; ol.load; print({'torch', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert set(ol.__all__) == {"VectorCodec", "load"} and ol.VectorCodec.fit
    with pytest.raises(AttributeError):
        ol.nothing  # noqa: B018
