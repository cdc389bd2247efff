"""The English grammar, its entropy, and the embedded corpus drawn from it."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
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
from onmt_lattice.experiments.corpus.grammar import Grammar, Rule, reachable
from onmt_lattice.experiments.corpus.notation import read_rules

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
        ("the men who feed the dog visit the market", "the men who feed the dog visits the market"),
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


TOY = Grammar(
    "S",
    {
        "S": [Rule(3, ("NP", "sees", "NP")), Rule(1, ("NP", "sleeps"))],
        "NP": [Rule(1, ("the", "N")), Rule(2, ("a", "N")), Rule(4, ("N", "and", "N"))],
        "N": [Rule(1, ("dog",)), Rule(5, ("cat",))],
    },
)
AMBIGUOUS = Grammar(  # "a b" in two ways
    "S",
    {
        "S": [Rule(1, ("a", "X")), Rule(1, ("Y", "b"))],
        "X": [Rule(1, ("b",))],
        "Y": [Rule(1, ("a",))],
    },
)


def derivations(grammar: Grammar, symbol: str) -> list[tuple[tuple[str, ...], Fraction]]:
    """Return the words and the probability of every derivation from ``symbol``."""
    if symbol not in grammar.rules:
        return [((symbol,), Fraction(1))]
    found = []
    for rule, chance in zip(grammar.rules[symbol], grammar.probabilities(symbol), strict=True):
        for parts in itertools.product(*(derivations(grammar, s) for s in rule.symbols)):
            words = tuple(itertools.chain.from_iterable(words for words, _ in parts))
            found.append((words, chance * math.prod(p for _, p in parts)))
    return found


def random_grammar(seed: int) -> Grammar:
    """Return a small grammar, often ambiguous, each nonterminal over the ones after it."""
    rng = random.Random(seed)
    heads = ["S", "A", "B"]
    rules = {}
    for level, head in enumerate(heads):
        symbols = [*heads[level + 1 :], "x", "y"]
        rules[head] = [
            Rule(rng.randint(1, 9), tuple(rng.choices(symbols, k=rng.randint(1, 2))))
            for _ in range(rng.randint(1, 3))
        ]
    return Grammar("S", rules)


GRAMMARS = [TOY, AMBIGUOUS, *map(random_grammar, range(40))]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_recursions_equal_sums_over_all_derivations(grammar: Grammar) -> None:
    every = derivations(grammar, "S")
    assert sum(p for _, p in every) == 1
    assert grammar.derivations == len(every)
    assert grammar.distinct_sentences == len({words for words, _ in every})
    assert grammar.entropy_bits == pytest.approx(-sum(p * math.log2(p) for _, p in every))
    assert grammar.expected_words == pytest.approx(float(sum(p * len(w) for w, p in every)))
    assert grammar.shortest == min(len(words) for words, _ in every)
    assert grammar.longest == max(len(words) for words, _ in every)


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_parser_finds_every_derivation_of_every_string(grammar: Grammar) -> None:
    counts, total = Counter(), Counter()
    for words, p in derivations(grammar, "S"):
        counts[words] += 1
        total[words] += p
    for length in range(4):
        for words in itertools.product("xy", repeat=length):
            total[words] += 0
    for words, p in total.items():
        assert grammar.count_derivations(words) == counts[words]
        expected = math.log2(p) if p else -math.inf
        assert grammar.log2_probability(words) == pytest.approx(expected, abs=1e-12)


def test_random_grammars_hold_ambiguous_and_unambiguous_ones() -> None:
    kinds = {grammar.derivations == grammar.distinct_sentences for grammar in GRAMMARS}
    assert kinds == {True, False}


def test_samples_have_the_probabilities_of_the_rules() -> None:
    rng, draws = random.Random(1), 20_000
    counts = Counter(tuple(TOY.sample(rng)) for _ in range(draws))
    probabilities = dict(derivations(TOY, "S"))
    assert counts.keys() <= probabilities.keys()
    for words, p in probabilities.items():
        deviation = math.sqrt(draws * p * (1 - p))
        assert abs(counts[words] - draws * p) < 4.5 * deviation


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"A": [Rule(1, ("x",))]}, "start symbol 'S' has no rules"),
        ({"S": []}, "'S' has no rules"),
        ({"S": [Rule(1, ())]}, "symbols"),
        ({"S": [Rule(0, ("x",))]}, "weight >= 1"),
        ({"S": [Rule(1, ("A",))], "A": [Rule(1, ("x", "S"))]}, "recursive: .*A"),
    ],
)
def test_a_grammar_without_a_finite_language_is_refused(rules: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grammar("S", rules)


NUMBER = {"#": {"sg": 3, "pl": 2}}


def test_a_feature_in_a_head_makes_a_copy_for_each_value() -> None:
    rules = read_rules("Np.#:\n  2 the Noun.#\n  1 Noun.#", {"#": {"sg": 1, "pl": 1}})
    assert rules == {
        "Np.sg": [Rule(4, ("the", "Noun.sg")), Rule(2, ("Noun.sg",))],
        "Np.pl": [Rule(4, ("the", "Noun.pl")), Rule(2, ("Noun.pl",))],
    }


def test_a_feature_of_a_rule_alone_divides_its_weight() -> None:
    rules = read_rules("S:\n  3 Np.# Vp.#\n  1 yes", NUMBER)
    assert rules["S"] == [
        Rule(9, ("Np.sg", "Vp.sg")),
        Rule(6, ("Np.pl", "Vp.pl")),
        Rule(5, ("yes",)),
    ]
    chances = Grammar("S", rules).probabilities("S")
    assert chances[0] + chances[1] == 3 * chances[2]


def test_two_features_are_chosen_independently() -> None:
    rules = read_rules("S:\n  1 Np.# Vp.#.@", {**NUMBER, "@": {"pres": 1, "past": 4}})
    weights = {rule.symbols[1]: rule.weight for rule in rules["S"]}
    assert weights == {"Vp.sg.pres": 3, "Vp.sg.past": 12, "Vp.pl.pres": 2, "Vp.pl.past": 8}


@pytest.mark.parametrize("text", ["1 a", "S:\n a b", "S:\n 1", "S:\n -1 a"])
def test_a_line_that_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        read_rules(text, {})
