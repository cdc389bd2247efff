"""Greedy decoding: the words of OpenNMT-py's search, from exactly the greatest logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Corpus
from torch import nn

from onmt_lattice.opennmt.checkpoint import load_autoencoder
from onmt_lattice.opennmt.data.sentences import read_sentences, token_index, trained_transforms
from onmt_lattice.opennmt.inference import greedy
from onmt_lattice.opennmt.inference import search as translation
from onmt_lattice.opennmt.inference.argmax import Argmax
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.model import logits

Trained = Callable[[str], Path]


@pytest.mark.parametrize("longest", [1, 4, 2**31 - 1])
@pytest.mark.parametrize("at_once", [512, 7])
def test_the_lines_are_those_of_the_search(
    trained: Trained,
    corpus: Corpus,
    name: str,
    longest: int,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = load_autoencoder(trained(name))
    lines = corpus.test.read_text(encoding="utf-8").splitlines()
    sentences = read_sentences(lines, trained_transforms(loaded), token_index(loaded))
    outputs = Scorer(loaded, seed=1, batch_size=64).encode(sentences)
    opt = translation.search_options(1, longest, 30, -1)
    assert translation._is_greedy(opt)
    monkeypatch.setattr(greedy, "AT_ONCE", at_once)
    with torch.inference_mode():
        found = translation._decode_greedily(loaded, sentences, outputs, opt)
        assert found == translation._search(loaded, sentences, outputs, opt)
    assert len(set(found)) > 1 or longest == 1


def test_nothing_is_decoded_to_nothing(trained: Trained) -> None:
    model = load_autoencoder(trained("gaussian")).model
    outputs = torch.empty(0, model.encoder.bottleneck.input_dim)
    assert greedy.greedy(model, outputs, begin=2, end=3, longest=5) == []


@pytest.mark.parametrize("screening", [False, True])
@pytest.mark.parametrize("spread", [1e-4, 0.05, 1.0, 30.0])  # of logits nearly alike, to far apart
def test_the_greatest_logit_is_found(
    spread: float, screening: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    linear, rows = nn.Linear(24, 211), torch.randn(97, 24)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.mul_(spread)
        exact = rows.double() @ linear.weight.double().t() + linear.bias.double()
    monkeypatch.setattr(logits, "LOGITS_AT_ONCE", 10 * 211)
    with torch.inference_mode():
        found = Argmax(linear, screening)(rows)
    top = exact.amax(1)
    # What single precision cannot tell apart may be taken for one another.
    rounding = 1e-6 * exact.abs().amax(1)
    assert (top - exact.gather(1, found[:, None])[:, 0] <= rounding).all()
    assert len(found.unique()) > 3


@pytest.mark.parametrize("size", [1e18, 1e30, 3e38, torch.nan])  # the last three have no bound
def test_what_has_no_bound_is_a_word_all_the_same(size: float) -> None:
    torch.manual_seed(3)
    linear, rows = nn.Linear(24, 900), size * torch.randn(5, 24)
    with torch.inference_mode():
        assert torch.equal(Argmax(linear, True)(rows), Argmax(linear, False)(rows))


def test_few_words_are_weighed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    linear, rows = nn.Linear(24, 900), torch.randn(50, 24)
    argmax = Argmax(linear, True)
    with torch.inference_mode():
        expected = argmax(rows)
        monkeypatch.setattr(argmax, "_weighed", lambda rows: torch.full((len(rows),), -1))
        assert torch.equal(argmax(rows), expected)
        linear.weight.mul_(0).add_(1e-6 * torch.randn(900, 24))  # logits too close to be told apart
        linear.bias.zero_().add_(1)
        close = Argmax(linear, True)
        monkeypatch.setattr(close, "_weighed", lambda rows: torch.full((len(rows),), -1))
        assert (close(rows) == -1).all()


@pytest.mark.parametrize("screening", [False, True])
def test_of_equal_logits_the_first_is_taken(screening: bool) -> None:
    linear = nn.Linear(3, 50)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(1, 3))
        linear.bias.zero_()
    with torch.inference_mode():
        assert (Argmax(linear, screening)(torch.randn(8, 3)) == 0).all()
