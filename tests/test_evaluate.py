"""Evaluation through the command line: its numbers, its laws, its refusals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Capture, Corpus, Mistake, Trained, run
from sacrebleu.metrics import BLEU, CHRF

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Evaluation, read_costs
from onmt_lattice.experiments.corpus import ideal_bits
from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder

Measure = Callable[..., Evaluation]


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Return what ``evaluate`` writes as JSON."""

    def read(model: Path, src: Path, *words: object) -> Evaluation:
        output = tmp_path / "evaluation.json"
        run("evaluate", "-model", model, "-src", src, "-output", output, *words)
        return Evaluation.read(output)

    return read


def test_numbers_agree(measure: Measure, trained: Trained, corpus: Corpus, name: str) -> None:
    e = measure(trained(name), corpus.test, "-seed", 3)
    lines = [line.split() for line in corpus.test.read_text(encoding="utf-8").splitlines()]
    assert (e.sentences, e.empty_lines) == (71, 2)
    assert e.words == sum(map(len, lines))
    assert e.tokens == e.words + e.sentences
    assert e.unknown_tokens >= 2
    for bits in (e.nll, e.rate, e.relaxed_rate, e.total):
        assert bits.word * e.words == pytest.approx(bits.token * e.tokens)
        assert bits.sentence * e.sentences == pytest.approx(bits.token * e.tokens)
    assert e.total.word == e.nll.word + e.rate.word
    apart = e.rate.sentence - e.relaxed_rate.sentence
    assert e.rate_difference_bits_sentence.mean == pytest.approx(apart, abs=1e-9)
    assert (apart != 0) == name.startswith("lattice")
    assert e.perplexity == pytest.approx(2**e.nll.token)
    assert 0 < e.token_accuracy < 1
    assert (e.rate.token > 0) == (name != "none") == e.is_code
    bottleneck = load_autoencoder(str(trained(name)), -1).model.encoder.bottleneck
    assert (e.dim, e.is_code) == (bottleneck.dim, bottleneck.is_code)
    assert (e.seed, e.step) == (3, 60)
    assert e.rate_weight == pytest.approx(1 / (1 + math.exp(5 * 0.4)))  # logistic, at 60 of 100
    assert e.run.endswith(f"/{name}") and e.model.endswith(f"/{name}_step_60.safetensors")
    assert (e.codebooks is not None) == name.startswith(("ste", "residual"))
    if e.codebooks is not None:
        assert 1 <= e.codebooks.lowest_perplexity <= e.codebooks.perplexity <= e.codebooks.entries


def test_rate_and_nll_exceed_the_entropy_of_the_grammar(
    measure: Measure, trained: Trained, corpus: Corpus, name: str, capsys: Capture
) -> None:
    e = measure(trained(name), corpus.valid)
    assert ("the law holds" in capsys.readouterr().out) == (name != "none")
    if name == "none":  # its rate of 0 is no code length: its NLL alone may well be below H
        assert e.entropy is None
        return
    assert e.entropy is not None and e.entropy.holds
    assert measure(trained(name), corpus.test).entropy is None  # it holds "zyzzyva"
    lines = [line for line in corpus.valid.read_text(encoding="utf-8").splitlines() if line]
    known = {line.split("\t")[0] for line in corpus.vocabulary.read_text().splitlines()}
    known_lines = [line for line in lines if set(line.split()) <= known]
    assert e.entropy.sentences == len(known_lines) <= len(lines)
    # These models have barely learned: the excess is large, and a bit lost would not show here.
    assert e.entropy.excess_bits_sentence.mean > 10
    if len(known_lines) == len(lines):
        ideal = ideal_bits(lines)
        assert ideal is not None
        assert e.entropy.excess_bits_sentence.mean == pytest.approx(
            e.total.sentence - sum(ideal) / len(ideal)
        )


def test_a_broken_law_is_an_error(
    trained: Trained,
    corpus: Corpus,
    mistake: Mistake,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """And leaves no numbers that a sweep would take for a finished evaluation."""
    from onmt_lattice.opennmt.inference.scoring import Scorer

    score = Scorer.score

    def too_cheap(self: Scorer, *args: object) -> object:
        scores = score(self, *args)
        return scores._replace(nll_nats=scores.nll_nats * 0.1, rate_nats=scores.rate_nats * 0.1)

    monkeypatch.setattr(Scorer, "score", too_cheap)
    words = ["-model", trained("gaussian"), "-src", corpus.valid]
    said = mistake("evaluate", *words, "-output", tmp_path / "e.json")
    assert "below the entropy of the source" in said
    assert not (tmp_path / "e.json").exists()


def test_the_table_says_what_the_json_says(
    trained: Trained, corpus: Corpus, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "deep" / "e.json"
    words = ["-model", trained("ste_scalar"), "-src", corpus.valid]
    run("evaluate", *words, "-output", output)
    shown = capsys.readouterr().out
    e = Evaluation.read(output)
    assert e.table() in shown and f"written to {output}" in shown
    for row, bits in (("NLL", e.nll), ("rate (quantized)", e.rate), ("total", e.total)):
        numbers = re.search(rf"^{re.escape(row)} +([\d. ]+)$", shown, flags=re.MULTILINE)
        assert numbers is not None
        assert [float(x) for x in numbers[1].split()] == pytest.approx(
            [bits.token, bits.word, bits.sentence], abs=1e-3
        )
    run("evaluate", *words)
    assert shown.replace(f"written to {output}\n", "") == capsys.readouterr().out


@pytest.mark.parametrize("beam_size", [1, 3])
def test_reconstructions_are_scored_against_the_input(
    measure: Measure, trained: Trained, corpus: Corpus, tmp_path: Path, beam_size: int
) -> None:
    text = tmp_path / "deep" / "decoded.txt"
    e = measure(trained("gaussian"), corpus.test, "-reconstruct", text, "-beam_size", beam_size)
    inputs = corpus.test.read_text(encoding="utf-8").splitlines()
    outputs = text.read_text(encoding="utf-8").splitlines()
    assert len(outputs) == len(inputs)
    pairs = [(a, b) for a, b in zip(inputs, outputs, strict=True) if a.strip()]
    assert [b for a, b in zip(inputs, outputs, strict=True) if not a.strip()] == ["", ""]
    sources, decoded = zip(*pairs, strict=True)
    assert e.reconstruction is not None and e.reconstruction.beam_size == beam_size
    r = e.reconstruction
    bleu = BLEU(tokenize="none", force=True).corpus_score(decoded, [sources]).score
    assert r.bleu == pytest.approx(bleu)
    assert r.chrf == pytest.approx(CHRF().corpus_score(decoded, [sources]).score)
    assert r.exact == sum(a == b for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("option", ["-reconstruct", "-scores"])
def test_what_is_written_to_standard_output_stands_there_alone(
    trained: Trained, corpus: Corpus, tmp_path: Path, capsys: Capture, option: str
) -> None:
    words = ["evaluate", "-model", trained("lattice_z"), "-src", corpus.test, option]
    run(*words, tmp_path / "file")
    table = capsys.readouterr().out
    run(*words, "-")
    out, err = capsys.readouterr()
    assert out == (tmp_path / "file").read_text(encoding="utf-8") and table in err


def test_several_checkpoints_are_evaluated_as_each_alone(
    trained: Trained, corpus: Corpus, tmp_path: Path
) -> None:
    models = [trained(name) for name in ("none", "lattice_z")]
    words, alone = ["evaluate", "-src", corpus.test, "-output"], tmp_path / "alone.json"
    run(*words, tmp_path, "-model", *models)
    run(*words, alone, "-model", models[1])
    assert Evaluation.read(alone) == Evaluation.read(tmp_path / f"{models[1].stem}.json")


# ---- refusals ------------------------------------------------------------------------------------


def test_what_cannot_be_evaluated_is_refused(
    trained: Trained, tmp_path: Path, mistake: Mistake
) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_text("zyzzyva quagga\nxyzzy the\n", encoding="utf-8")
    given = ("evaluate", "-model", trained("gaussian"), "-src", foreign)
    said = f"-src {foreign}: 3 of 4 tokens are not in the model's vocabulary"
    assert said in mistake(*given)
    assert "-gpu 99: no such CUDA device" in mistake(*given, "-gpu", 99)


def test_all_checkpoints_are_looked_at_before_the_first_is_evaluated(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    model = trained("gaussian")
    other = tmp_path / "other" / model.name
    given = ("evaluate", "-src", corpus.test, "-output", tmp_path / "out", "-model", model, other)
    assert f"-output: {model} and {other} have one name" in mistake(*given)
    missing = other.with_name("missing.safetensors")
    assert f"checkpoint {missing}: no such file" in mistake(*given[:-1], missing)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_lines_are_those_of_training(measure: Measure, trained: Trained, tmp_path: Path) -> None:
    """Carriage returns and other separators break no line: the index draws the dither."""
    text = tmp_path / "text"
    text.write_bytes("the dog\rsees the cat\r\n\r\na\u2028b\x0cthe man\n".encode())
    e = measure(trained("lattice_z"), text, "-reconstruct", tmp_path / "out")
    assert (e.sentences, e.empty_lines, e.words) == (2, 1, 9)
    assert len((tmp_path / "out").read_bytes().split(b"\n")) == 4


def test_the_costs_of_sentences_add_up(
    measure: Measure, trained: Trained, corpus: Corpus, tmp_path: Path
) -> None:
    e = measure(trained("lattice_z"), corpus.test, "-scores", tmp_path / "costs.tsv")
    costs = read_costs(tmp_path / "costs.tsv")
    assert len(costs) == e.sentences and sum(cost.words for cost in costs) == e.words
    lines = corpus.test.read_text(encoding="utf-8").splitlines()
    assert [cost.line for cost in costs] == [i for i, line in enumerate(lines, 1) if line.split()]
    for bits, name in ((e.nll, "nll"), (e.rate, "rate")):
        total = math.fsum(getattr(cost, name) for cost in costs)
        assert total == pytest.approx(bits.sentence * e.sentences)
    (tmp_path / "costs.tsv").write_text("line\twords\n", encoding="utf-8")
    with pytest.raises(UserError, match="expected the costs of sentences"):
        read_costs(tmp_path / "costs.tsv")
