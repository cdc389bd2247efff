"""The English grammar, its entropy, and the embedded corpus drawn from it."""

from __future__ import annotations

import importlib.util
import itertools
import math
import random
import statistics
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from onmt_lattice.corpus import SPLITS, english_grammar, ideal_bits
from onmt_lattice.corpus.grammar import reachable

ROOT = Path(__file__).resolve().parent.parent
GRAMMAR = english_grammar()


@pytest.fixture(scope="module")
def make_corpus() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_corpus", ROOT / "scripts/make_corpus.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(split: str) -> list[str]:
    return (ROOT / f"data/grammar/{split}.en").read_text(encoding="utf-8").splitlines()


def odd_derivations(count: int) -> Iterator[tuple[list[str], float]]:
    """Yield sentences whose rules are chosen without regard to weight, and log2 of their product.

    Rare structures are thus as frequent as common ones.
    """
    rng = random.Random(5)
    for _ in range(count):
        words, stack, log2_product = [], [GRAMMAR.start], 0.0
        while stack:
            symbol = stack.pop()
            if symbol not in GRAMMAR.rules:
                words.append(symbol)
                continue
            choice = rng.randrange(len(GRAMMAR.rules[symbol]))
            log2_product += math.log2(GRAMMAR.probabilities(symbol)[choice])
            stack.extend(reversed(GRAMMAR.rules[symbol][choice].symbols))
        yield words, log2_product


# The grammar


def test_no_sentence_has_two_derivations() -> None:
    assert GRAMMAR.distinct_sentences == GRAMMAR.derivations


def test_every_sentence_has_6_to_15_words() -> None:
    assert (GRAMMAR.shortest, GRAMMAR.longest) == (6, 15)


def test_vocabulary_is_of_the_size_promised_and_lower_case() -> None:
    assert 500 <= len(GRAMMAR.vocabulary) <= 1500
    assert [word for word in GRAMMAR.vocabulary if not (word.isalpha() and word.islower())] == []


def test_every_rule_is_reachable() -> None:
    assert reachable(GRAMMAR.start, GRAMMAR.rules).keys() == GRAMMAR.rules.keys()


def test_probabilities_of_the_rules_of_every_nonterminal_sum_to_one() -> None:
    assert {sum(GRAMMAR.probabilities(head)) for head in GRAMMAR.rules} == {1}


def test_probability_of_a_sentence_is_the_product_of_its_rules() -> None:
    for words, log2_product in odd_derivations(300):
        assert GRAMMAR.count_derivations(words) == 1
        assert GRAMMAR.log2_probability(words) == pytest.approx(log2_product, abs=1e-9)
        assert 6 <= len(words) <= 15


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("the dogs chase a cat slowly", "the dogs chases a cat slowly"),
        ("the dog chases a cat slowly", "the dog chase a cat slowly"),
        (
            "the man who feeds the dogs visits the market",
            "the man who feeds the dogs visit the market",
        ),
        (
            "the men who feed the dog visit the market",
            "the men who feed the dog visits the market",
        ),
        ("these men eat the soup slowly", "these man eat the soup slowly"),
        ("an old man eats an apple slowly", "a old man eats an apple slowly"),
        ("the man and the girl play a guitar", "the man and the girl plays a guitar"),
        ("yesterday the man washed a red car", "yesterday the man washes a red car"),
        ("the man will wash the car tomorrow", "the man washed the car tomorrow"),
        ("the girl knows that the king sings proudly", "the girl knows that the king proudly"),
        ("the apple is eaten by the man", "the apple is ate by the man"),
        ("the woman eats the soup quietly", "the woman eats the hammer quietly"),
        ("the piano that the girl played was old", "the piano that the girl baked was old"),
    ],
)
def test_agreement_and_meaning(right: str, wrong: str) -> None:
    assert GRAMMAR.log2_probability(right.split()) > -math.inf
    assert GRAMMAR.log2_probability(wrong.split()) == -math.inf


# Ideal bits


def test_ideal_bits_of_held_out_sentences_average_the_entropy() -> None:
    bits = ideal_bits(read("test"))
    assert bits is not None and len(bits) == SPLITS["test"].sentences
    error = statistics.stdev(bits) / math.sqrt(len(bits))
    assert abs(statistics.fmean(bits) - GRAMMAR.entropy_bits) < 4 * error
    assert error < 0.01 * GRAMMAR.entropy_bits


def test_ideal_bits_skip_empty_lines() -> None:
    lines = ["the dogs chase a cat slowly\n", "  \n", "", "these men eat the soup slowly"]
    expected = [-GRAMMAR.log2_probability(lines[i].split()) for i in (0, 3)]
    assert ideal_bits(lines) == expected


def test_ideal_bits_stop_at_the_first_line_of_another_language() -> None:
    lines = itertools.chain(["the dogs chase a cat slowly"], itertools.repeat("ein hund schläft"))
    assert ideal_bits(lines) is None


@pytest.mark.parametrize("lines", [[], ["", " \n"]])
def test_there_are_no_ideal_bits_without_a_sentence(lines: list[str]) -> None:
    assert ideal_bits(lines) is None


# data/


def test_data_are_what_the_script_writes(make_corpus: ModuleType) -> None:
    assert make_corpus.main(["--check"]) == 0


def test_check_names_the_file_that_differs(
    make_corpus: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_corpus.main(["--output", str(tmp_path)]) == 0
    assert make_corpus.main(["--output", str(tmp_path), "--check"]) == 0
    valid = tmp_path / "grammar/valid.en"
    valid.write_text(valid.read_text().replace("the ", "teh ", 1))
    (tmp_path / "README.md").unlink()
    capsys.readouterr()
    assert make_corpus.main(["--output", str(tmp_path), "--check"]) == 1
    reported = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert reported == [str(valid), str(tmp_path / "README.md")]


def test_every_word_of_the_grammar_occurs_in_the_training_split() -> None:
    assert {word for line in read("train") for word in line.split()} == GRAMMAR.vocabulary
