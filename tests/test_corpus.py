"""The English grammar, its entropy, and the embedded corpus drawn from it."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import statistics
from collections import Counter
from fractions import Fraction
from functools import cache
from graphlib import CycleError
from pathlib import Path

import pytest

from onmt_lattice.experiments.corpus import (
    SPLITS,
    corpus_text,
    english_grammar,
    ideal_bits,
    write_corpus,
)
from onmt_lattice.experiments.corpus.grammar import Grammar, Rule, reachable, read_rules

ROOT = Path(__file__).resolve().parent.parent
GRAMMAR = english_grammar()


def distinct_sentences(grammar: Grammar) -> int:
    """Return how many different sentences there are, by a deterministic automaton.

    Its states are sets of stacks (the subset construction). It equals `derivations` if and only if
    no sentence has two derivations.
    """

    @cache
    def count(state: frozenset[tuple[str, ...]]) -> int:
        words = frozenset().union(*(grammar._first[stack[0]] for stack in state if stack))
        steps = (frozenset(s for old in state for s in grammar._after(old, w)) for w in words)
        return (() in state) + sum(map(count, steps))

    return count(frozenset([(grammar.start,)]))


@cache
def read(split: str) -> list[str]:
    return corpus_text(split).splitlines()


def test_no_sentence_has_two_derivations_and_every_rule_is_reachable() -> None:
    assert distinct_sentences(GRAMMAR) == GRAMMAR.derivations
    assert reachable(GRAMMAR.start, GRAMMAR.rules).keys() == GRAMMAR.rules.keys()


def test_ideal_bits_of_held_out_sentences_average_the_entropy() -> None:
    bits = ideal_bits(read("test"))
    assert bits is not None and len(bits) == SPLITS["test"].sentences
    error = statistics.stdev(bits) / math.sqrt(len(bits))
    assert abs(statistics.fmean(bits) - GRAMMAR.entropy_bits) < 4 * error
    assert error < 0.01 * GRAMMAR.entropy_bits


def test_ideal_bits_are_of_the_sentences_unless_a_line_is_of_another_language() -> None:
    lines = ["the dogs chase a cat slowly\n", "  \n", "", "these men eat the soup slowly"]
    expected = [-GRAMMAR.log2_probability(lines[i].split()) for i in (0, 3)]
    assert ideal_bits(lines) == expected
    assert ideal_bits(itertools.chain(lines, itertools.repeat("ein hund schläft"))) is None
    assert ideal_bits([]) is ideal_bits(["", " \n"]) is None


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
        f"| words per sentence | {GRAMMAR.expected_words:.4f} on average, 6 to 15 |",
        f"| entropy per word | {GRAMMAR.entropy_bits / GRAMMAR.expected_words:.4f} bits (",
        f"| vocabulary | {len(GRAMMAR.vocabulary)} words |",
        f"| different sentences | {distinct_sentences(GRAMMAR):.3g}, none",
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
    assert distinct_sentences(grammar) == len({words for words, _ in every})
    assert grammar.entropy_bits == pytest.approx(-sum(p * math.log2(p) for _, p in every))
    assert grammar.expected_words == pytest.approx(float(sum(p * len(w) for w, p in every)))


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_parser_finds_every_derivation_of_every_string(grammar: Grammar) -> None:
    total = Counter()
    for words, p in derivations(grammar, "S"):
        total[words] += p
    for length in range(4):
        for words in itertools.product("xy", repeat=length):
            total[words] += 0
    for words, p in total.items():
        expected = math.log2(p) if p else -math.inf
        assert grammar.log2_probability(words) == pytest.approx(expected, abs=1e-12)


def test_samples_have_the_probabilities_of_the_rules() -> None:
    rng, draws = random.Random(1), 20_000
    counts = Counter(tuple(TOY.sample(rng)) for _ in range(draws))
    probabilities = dict(derivations(TOY, "S"))
    assert counts.keys() <= probabilities.keys()
    for words, p in probabilities.items():
        deviation = math.sqrt(draws * p * (1 - p))
        assert abs(counts[words] - draws * p) < 4.5 * deviation


def test_a_recursive_grammar_has_no_entropy() -> None:
    with pytest.raises(CycleError):
        _ = Grammar("S", {"S": [Rule(1, ("A",))], "A": [Rule(1, ("x", "S"))]}).entropy_bits


NUMBER = {"#": {"sg": 3, "pl": 2}}


def test_a_feature_of_a_rule_alone_divides_its_weight() -> None:
    rules = read_rules("S:\n  3 Np.# Vp.#\n  1 yes", NUMBER)
    assert rules["S"] == [
        Rule(9, ("Np.sg", "Vp.sg")),
        Rule(6, ("Np.pl", "Vp.pl")),
        Rule(5, ("yes",)),
    ]
    chances = Grammar("S", rules).probabilities("S")
    assert chances[0] + chances[1] == 3 * chances[2]
    for text in ("1 a", "S:\n a b", "S:\n 1", "S:\n -1 a"):
        with pytest.raises(ValueError, match="cannot read"):
            read_rules(text, {})
