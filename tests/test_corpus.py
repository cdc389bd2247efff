"""The English grammar, its entropy, and the embedded corpus drawn from it."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from onmt_lattice.experiments.corpus import (
    SPLITS,
    corpus_text,
    english_grammar,
    ideal_bits,
    write_corpus,
)
from onmt_lattice.experiments.corpus.grammar import reachable

ROOT = Path(__file__).resolve().parent.parent
GRAMMAR = english_grammar()


@cache
def read(split: str) -> list[str]:
    return corpus_text(split).splitlines()


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


# The splits


def test_every_machine_draws_the_same_corpus(tmp_path: Path) -> None:
    """Numbers that were published, as the demo's table, are of these bytes."""
    digests = {
        "train": "92faaa31da936a433e7d27c24ea37442d4d63955cc4bed772c27453f9469006e",
        "valid": "843589dbf67bade20f44d8941cffd61643cf3edcda4791aaf257164cf3cb0c57",
        "test": "caa5070ecfeee47a8e5bf1105c9181e24608636d68cf658ffc969f5c40b07520",
    }
    write_corpus(tmp_path)
    written = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }
    assert written == {f"{split}.en": digest for split, digest in digests.items()}


def test_the_page_about_it_states_what_it_is() -> None:
    page = (ROOT / "docs/corpus.md").read_text(encoding="utf-8")
    met: set[str] = set()
    for split in SPLITS:
        lines, size = read(split), len(corpus_text(split))
        repeated = len(lines) - len(set(lines) - met)
        met |= set(lines)
        words = sum(len(line.split()) for line in lines)
        assert f"| {split}.en | {len(lines)} | {words} | {size} | {repeated} |" in page
    for line in (
        f"| entropy H of a sentence | {GRAMMAR.entropy_bits:.4f} bits |",
        f"| words a sentence | {GRAMMAR.expected_words:.4f} on average, 6 to 15 |",
        f"| entropy a word | {GRAMMAR.entropy_bits / GRAMMAR.expected_words:.4f} bits (",
        f"| vocabulary | {len(GRAMMAR.vocabulary)} words |",
        f"| different sentences | {GRAMMAR.distinct_sentences:.3g}, none",
    ):
        assert line in page
    examples = [line for line in page.splitlines() if line.startswith("    ")]
    assert examples and ideal_bits(examples) is not None


def test_every_word_of_the_grammar_occurs_in_the_training_split() -> None:
    assert {word for line in read("train") for word in line.split()} == GRAMMAR.vocabulary
