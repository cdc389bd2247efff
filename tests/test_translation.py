"""Decoding from the quantized representation: the same text in any batch, shard and command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Corpus, Mistake, Trained, run
from torch import nn

from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder
from onmt_lattice.opennmt.data.sentences import read_sentences, token_index, trained_transforms
from onmt_lattice.opennmt.inference import greedy
from onmt_lattice.opennmt.inference import search as translation
from onmt_lattice.opennmt.inference.greedy import Argmax
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.model import output_layer

Translate = Callable[..., list[str]]


@pytest.fixture
def translate(trained: Trained, corpus: Corpus, tmp_path: Path) -> Translate:
    """Return the lines that ``translate`` writes for the corpus' test text."""

    def lines(name: str, *words: object) -> list[str]:
        output = tmp_path / "deep" / "translation.txt"
        run("translate", "-model", trained(name), "-src", corpus.test, "-output", output, *words)
        return output.read_text(encoding="utf-8").splitlines()

    return lines


def test_greedy_output_is_that_of_evaluate(
    translate: Translate, trained: Trained, corpus: Corpus, tmp_path: Path, name: str
) -> None:
    text = tmp_path / "reconstruction.txt"
    given = ("-model", trained(name), "-src", corpus.test, "-seed", 5)
    run("evaluate", *given, "-reconstruct", text)
    decoded = text.read_text(encoding="utf-8").splitlines()
    assert translate(name, "-beam_size", 1, "-seed", 5) == decoded
    # It is no constant: the representation reaches the decoder.
    assert len(set(decoded)) > 5


def test_empty_lines_stay_empty(translate: Translate, corpus: Corpus) -> None:
    inputs = corpus.test.read_text(encoding="utf-8").splitlines()
    outputs = translate("ste_scalar", "-beam_size", 1, "-min_length", 1)
    assert [not line.strip() for line in inputs] == [not line for line in outputs]


@pytest.mark.parametrize("name", ["gaussian", "lattice_z", "ste_vector"])
@pytest.mark.parametrize("beam_size", [1, 3])
def test_batches_and_shards_do_not_matter(translate: Translate, name: str, beam_size: int) -> None:
    expected = translate(name, "-beam_size", beam_size)
    for words in (
        ("-batch_size", 1),
        ("-batch_size", 7, "-shard_size", 0),
        ("-shard_size", 3),
        ("-batch_size", 40, "-batch_type", "tokens"),
    ):
        assert translate(name, "-beam_size", beam_size, *words) == expected


def test_the_seed_draws_the_dither(translate: Translate) -> None:
    first, again, other = (translate("lattice_z", "-beam_size", 1, "-seed", s) for s in (0, 0, 1))
    assert first == again != other
    assert translate("ste_scalar", "-seed", 0) == translate("ste_scalar", "-seed", 1)


def test_the_seed_draws_the_samples(translate: Translate) -> None:
    """Whether it is 0 or another."""
    words = ("-random_sampling_topk", 20, "-max_length", 20)
    drawn = [translate("ste_scalar", *words, "-seed", seed) for seed in (0, 0, 1, 1)]
    assert drawn[0] == drawn[1] != drawn[2] == drawn[3]


def test_the_n_best_follow_one_another(translate: Translate, corpus: Corpus) -> None:
    best = translate("gaussian", "-beam_size", 4)
    four = translate("gaussian", "-beam_size", 4, "-n_best", 4)
    assert len(four) == 4 * len(best) and four[::4] == best
    for i, line in enumerate(corpus.test.read_text(encoding="utf-8").splitlines()):
        hypotheses = four[4 * i : 4 * i + 4]
        assert len(set(hypotheses)) == (4 if line.strip() else 1)
    scored = translate("gaussian", "-beam_size", 4, "-n_best", 2, "-with_score")
    texts, scores = zip(*(line.split("\t") for line in scored if line), strict=True)
    assert list(texts) == [line for i, line in enumerate(four) if i % 4 < 2 and line]
    assert all(float(a) >= float(b) for a, b in zip(scores[::2], scores[1::2], strict=True))


def test_what_cannot_be_decoded_is_refused(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    model, output = trained("gaussian"), tmp_path / "out.txt"
    given = ("translate", "-model", model, "-src", corpus.test, "-output", output)
    for words, said in (
        (("-tgt", corpus.test), "-tgt: not possible here"),
        (("-src_feats", "{'a': 'b'}"), "-src_feats: not possible here"),
        (("-replace_unk",), "-replace_unk: not possible here"),
        (("-phrase_table", "x"), "-phrase_table: not possible here"),
        (("-report_align",), "-report_align: not possible here"),
        (("-stepwise_penalty",), "-stepwise_penalty: not possible here"),
        (("-coverage_penalty", "summary"), "-coverage_penalty summary: must be none here"),
        (("-int8",), "-int8 True: must be False here"),
        (("-data_type", "img"), "img"),
        (("-n_best", 6), "-n_best 6: expected at most -beam_size, 1"),
        (("-min_length", 9, "-max_length", 8), "-min_length 9: expected at most -max_length, 8"),
        (("-model", model, model), "expected one checkpoint, not an ensemble"),
    ):
        assert said in mistake(*given, *words)
        assert not output.exists()


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
    opt = translation.search_options(1, longest, 30)
    assert all(getattr(opt, name) == value for name, value in translation.GREEDY.items())
    monkeypatch.setattr(greedy, "BATCH_SIZE", at_once)
    with torch.inference_mode():
        found = translation._decode_greedily(loaded, sentences, outputs, opt)
        assert found == translation._search(loaded, sentences, outputs, opt)
    assert len(set(found)) > 1 or longest == 1


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
    monkeypatch.setattr(output_layer, "MAX_LOGITS", 10 * 211)
    with torch.inference_mode():
        found = Argmax(linear, screening)(rows)
    top = exact.amax(1)
    # What single precision cannot tell apart may be taken for one another.
    rounding = 1e-6 * exact.abs().amax(1)
    assert (top - exact.gather(1, found[:, None])[:, 0] <= rounding).all()
    assert len(found.unique()) > 3


@pytest.mark.parametrize("screening", [False, True])
def test_of_equal_logits_the_first_is_taken(screening: bool) -> None:
    linear = nn.Linear(3, 50)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(1, 3))
        linear.bias.zero_()
    with torch.inference_mode():
        assert (Argmax(linear, screening)(torch.randn(8, 3)) == 0).all()
