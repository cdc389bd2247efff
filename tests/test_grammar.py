"""Laws of probabilistic grammars, against the enumeration of all derivations."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from fractions import Fraction

import pytest

from onmt_lattice.experiments.corpus.grammar import Grammar, Rule, reachable

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


def test_derivation_entropy_of_an_ambiguous_grammar_exceeds_that_of_its_sentence() -> None:
    assert AMBIGUOUS.entropy_bits == 1.0
    assert AMBIGUOUS.log2_probability(["a", "b"]) == 0.0
    assert AMBIGUOUS.count_derivations(["a", "b"]) == 2


def test_samples_have_the_probabilities_of_the_rules() -> None:
    rng, draws = random.Random(1), 20_000
    counts = Counter(tuple(TOY.sample(rng)) for _ in range(draws))
    probabilities = dict(derivations(TOY, "S"))
    assert counts.keys() <= probabilities.keys()
    for words, p in probabilities.items():
        deviation = math.sqrt(draws * p * (1 - p))
        assert abs(counts[words] - draws * p) < 4.5 * deviation


def test_words_are_the_symbols_without_rules() -> None:
    assert TOY.vocabulary == {"the", "a", "and", "dog", "cat", "sees", "sleeps"}
    assert TOY.log2_probability(["the", "cow", "sleeps"]) == -math.inf
    assert TOY.log2_probability(["the", "dog"]) == -math.inf
    assert TOY.log2_probability("the dog sleeps the".split()) == -math.inf
    assert TOY.log2_probability([]) == -math.inf


def test_reachable_keeps_what_the_start_can_use() -> None:
    rules = {"S": [Rule(1, ("A", "x"))], "A": [Rule(1, ("y",))], "B": [Rule(1, ("S",))]}
    assert reachable("S", rules).keys() == {"S", "A"}


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
