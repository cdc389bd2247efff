"""Scores of a sentence: its own, whatever the batch, and those that training reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import BOTTLENECKS, Build, Corpus, Trained, batch_of

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder, load_autoencoder
from onmt_lattice.opennmt.data.sentences import (
    Sentence,
    read_sentences,
    token_index,
    trained_transforms,
    undo,
)
from onmt_lattice.opennmt.inference.scoring import Scorer, SentenceScores
from onmt_lattice.opennmt.model import output_layer

NOISY = {"gaussian", "lattice_z", "lattice_a2"}


@pytest.fixture
def loaded(trained: Trained, name: str) -> LoadedAutoencoder:
    return load_autoencoder(trained(name))


@pytest.fixture
def sentences(corpus: Corpus, loaded: LoadedAutoencoder) -> list[Sentence]:
    return read(corpus.test.read_text(encoding="utf-8").split("\n"), loaded)


def read(lines: list[str], loaded: LoadedAutoencoder) -> list[Sentence]:
    return read_sentences(lines, trained_transforms(loaded), token_index(loaded))


def score(loaded: LoadedAutoencoder, sentences: list[Sentence], batch_size: int = 64) -> Any:
    return Scorer(loaded, seed=1, batch_size=batch_size).score(sentences)


def assert_same(a: SentenceScores, b: SentenceScores) -> None:
    torch.testing.assert_close(a.nll_nats, b.nll_nats, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.rate_nats, b.rate_nats, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(a.relaxed_rate_nats, b.relaxed_rate_nats, rtol=1e-5, atol=1e-6)
    for x, y in ((a.tokens, b.tokens), (a.unknown, b.unknown), (a.symbols, b.symbols)):
        assert (x is None and y is None) or torch.equal(x, y)


def chosen(scores: SentenceScores, rows: list[int]) -> SentenceScores:
    return SentenceScores(*(None if column is None else column[rows] for column in scores))


def test_a_sentence_s_scores_are_its_own(
    loaded: LoadedAutoencoder, sentences: list[Sentence]
) -> None:
    together = score(loaded, sentences)
    for batch_size in (1, 7):
        assert_same(score(loaded, sentences, batch_size), together)
    reverse = list(range(len(sentences)))[::-1]
    assert_same(score(loaded, [sentences[i] for i in reverse]), chosen(together, reverse))
    some = list(range(3, len(sentences), 9))
    assert_same(score(loaded, [sentences[i] for i in some], 4), chosen(together, some))


def test_the_noise_is_that_of_line_and_seed(
    name: str, loaded: LoadedAutoencoder, sentences: list[Sentence]
) -> None:
    here = score(loaded, sentences)
    moved = score(loaded, [replace(s, index=s.index + 1) for s in sentences])
    reseeded = Scorer(loaded, seed=2, batch_size=64).score(sentences)
    for other in (moved, reseeded):
        assert torch.equal(here.nll_nats, other.nll_nats) == (name not in NOISY)
        if name.startswith("lattice"):
            assert not torch.equal(here.rate_nats, other.rate_nats)
            assert not torch.equal(here.symbols, other.symbols)
        else:  # the rate of the Gaussian is an expectation already
            assert torch.equal(here.rate_nats, other.rate_nats)


def test_scores_are_those_of_validation(
    name: str, build: Build, trained: Trained, corpus: Corpus
) -> None:
    """The trainer's own loss, of OpenNMT-py's making, on the same text with the same seed."""
    options = {"bottleneck_dim": None, **BOTTLENECKS[name], "train_from": str(trained(name))}
    trainer = build(**options)
    lines = corpus.valid.read_text(encoding="utf-8").split("\n")
    loaded = load_autoencoder(trained(name))
    vocabulary = set(loaded.fields["src"].base_field.vocab.itos)
    known = [line for line in lines if line and set(line.split()) <= vocabulary]
    assert len(known) > 40
    stats = trainer.validate([batch_of(trainer, known)])
    trainer_seed = trainer.noise_seed
    scores = Scorer(loaded, trainer_seed, 16).score(read(known, loaded))
    assert stats.loss == pytest.approx(scores.nll_nats.sum().item(), rel=1e-5)
    assert stats.rate_nats == pytest.approx(scores.rate_nats.sum().item(), rel=1e-5)
    assert stats.relaxed.rate_nats == pytest.approx(scores.relaxed_rate_nats.sum().item(), rel=1e-5)
    assert stats.n_words == scores.tokens.sum() and stats.n_correct == scores.correct.sum()


def test_the_nll_is_the_decoder_s_own(loaded: LoadedAutoencoder, sentences: list[Sentence]) -> None:
    """One sentence at a time, without padding, with the whole softmax."""
    from onmt_lattice.noise import SentenceNoise

    field = loaded.fields["tgt"].base_field
    scores = score(loaded, sentences[:5])
    for row, sentence in enumerate(sentences[:5]):
        ids = [field.vocab.stoi[token] for token in sentence.tokens]
        ends = field.vocab.stoi[field.init_token], field.vocab.stoi[field.eos_token]
        target = torch.tensor([ends[0], *ids, ends[1]])
        with torch.inference_mode():
            decoded, through = loaded.model.autoencode(
                torch.tensor(ids)[:, None, None],
                target[:, None, None],
                torch.tensor([len(ids)]),
                SentenceNoise(1, [sentence.index]),
            )
            log_prob = loaded.model.generator(decoded[:, 0])
        nll = -log_prob[torch.arange(len(ids) + 1), target[1:]].sum()
        assert scores.nll_nats[row].item() == pytest.approx(nll.item(), rel=1e-5)
        assert scores.rate_nats[row].item() == pytest.approx(through.rate_nats.item(), abs=1e-5)
        guesses = log_prob.max(1).indices == target[1:]
        assert scores.correct[row].item() == guesses.sum().item()


def test_marks_in_the_text_are_words_like_any_other(loaded: LoadedAutoencoder) -> None:
    """Training reads a literal mark as the mark; its cost is counted all the same."""
    lines = ["the dog <blank> sees", "<blank>", "the <s> cat </s> <unk> \u2028 a\rb"]
    sentences = read(lines, loaded)
    scores = score(loaded, sentences)
    assert scores.tokens.tolist() == [len(line.split()) + 1 for line in lines]
    assert_same(score(loaded, sentences, 1), scores)
    assert scores.nll_nats[1] > 1


def test_filters_keep_every_line(trained: Trained) -> None:
    loaded = load_autoencoder(trained("gaussian"))
    loaded.opt.data = {"c": {"transforms": ["filtertoolong"]}}
    loaded.opt.src_seq_length = loaded.opt.tgt_seq_length = 2
    assert len(read(["a b c d", "a"], loaded)) == 2


def test_few_logits_at_once_score_the_same(
    loaded: LoadedAutoencoder, sentences: list[Sentence], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = score(loaded, sentences)
    monkeypatch.setattr(output_layer, "MAX_LOGITS", 1000)
    assert_same(score(loaded, sentences), expected)


def test_transforms_that_empty_a_line_or_cannot_be_built(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_autoencoder(trained("gaussian"))
    loaded.opt.data = {"c": {"transforms": ["sentencepiece"]}}
    loaded.opt.src_subword_model = "/nowhere.model"
    with pytest.raises(UserError, match=r"transforms \['sentencepiece'\]: .*cannot be built"):
        read(["a word"], loaded)
    loaded.opt.data = {"c": {"transforms": []}}
    monkeypatch.setattr("onmt.transforms.TransformPipe.apply", lambda *_, **__: None)
    assert read(["", "a word"], loaded) == []


@pytest.mark.parametrize("kind", ["sentencepiece", "bpe"])
def test_undoing_subwords_gives_the_text_back(
    corpus: Corpus, trained: Trained, tmp_path: Path, kind: str
) -> None:
    model = corpus.subwords(tmp_path / "subwords", kind, 200)
    loaded = load_autoencoder(trained("gaussian"))
    loaded.opt.data = {"c": {"transforms": [kind]}}
    loaded.opt.src_subword_model = loaded.opt.tgt_subword_model = str(model)
    pipe = trained_transforms(loaded)
    for line in corpus.train.read_text(encoding="utf-8").splitlines()[:50]:
        (sentence,) = read([line], loaded)
        assert len(sentence.tokens) > sentence.words == len(line.split())
        assert undo(pipe, " ".join(sentence.tokens)) == line
        assert undo(pipe, " ".join(sentence.tokens) + "\t-1.5") == f"{line}\t-1.5"
