"""Probabilistic grammars of finitely many sentences, whose entropy is known exactly."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from graphlib import TopologicalSorter
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")
Stack = tuple[str, ...]  # the symbols that a leftmost derivation has yet to expand
Feature = Mapping[str, int]  # the weight of each value


@dataclass(frozen=True)
class Rule:
    """One right-hand side of a nonterminal, chosen in proportion to its integer weight."""

    weight: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Grammar:
    """A probabilistic context-free grammar without recursion.

    A symbol that heads rules is a nonterminal; any other is a word. As no nonterminal can reach
    itself, the language is finite and every expectation over derivations is a finite recursion
    from the words up. If, besides, no sentence has two derivations, then `entropy_bits` is the
    entropy of a sentence and no code of any kind can average fewer bits.
    """

    start: str
    rules: Mapping[str, Sequence[Rule]] = field(repr=False)

    def probabilities(self, head: str) -> list[Fraction]:
        """Return the exact probability of each rule of the nonterminal ``head``, in order."""
        total = sum(rule.weight for rule in self.rules[head])
        return [Fraction(rule.weight, total) for rule in self.rules[head]]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The words that some rule names."""
        every = {s for rules in self.rules.values() for rule in rules for s in rule.symbols}
        return frozenset(every - self.rules.keys())

    # Expectations and extremes over derivations, exact by recursion

    @cached_property
    def entropy_bits(self) -> float:
        """Entropy of a derivation, in bits; of a sentence, too, if none has two derivations.

        By the chain rule, H(A) = sum_r p_r (-log2 p_r + sum_{B in r} H(B)), and H(word) = 0.
        Exact up to floating-point rounding.
        """

        def entropy(terms: list[tuple[float, list[float]]]) -> float:
            return math.fsum(p * (math.fsum(parts) - math.log2(p)) for p, parts in terms)

        return self._fold(0.0, entropy)

    @cached_property
    def expected_words(self) -> float:
        """Mean number of words in a sentence, exact up to floating-point rounding."""
        return self._fold(1.0, lambda terms: math.fsum(p * sum(parts) for p, parts in terms))

    @cached_property
    def derivations(self) -> int:
        """Number of derivations, an exact integer."""
        return self._fold(1, lambda terms: sum(math.prod(parts) for _, parts in terms))

    def _fold(self, word: T, combine: Callable[[list[tuple[float, list[T]]]], T]) -> T:
        """Return the start symbol's value, where ``word`` is that of every word.

        ``combine`` maps a nonterminal's rules, as (probability, values of its symbols), to its
        value.
        """
        value: dict[str, T] = {}
        for head in self._children_first:
            parts = [[value.get(s, word) for s in rule.symbols] for rule in self.rules[head]]
            value[head] = combine(
                list(zip(map(float, self.probabilities(head)), parts, strict=True))
            )
        return value[self.start]

    @cached_property
    def _children_first(self) -> list[str]:
        graph = {
            head: {s for rule in rules for s in rule.symbols if s in self.rules}
            for head, rules in self.rules.items()
        }
        return list(TopologicalSorter(graph).static_order())  # raises CycleError for recursion

    # Drawing sentences

    def sample(self, rng: random.Random) -> list[str]:
        """Draw the words of a sentence.

        Only ``rng.random()`` is called, whose sequence Python keeps the same for a seed in every
        version, so that a seed gives the same sentences everywhere.
        """
        words: list[str] = []
        stack = [self.start]
        while stack:
            symbol = stack.pop()
            if symbol in self.rules:
                cumulative = self._cumulative[symbol]
                choice = bisect_right(cumulative, rng.random() * cumulative[-1])
                stack.extend(reversed(self.rules[symbol][choice].symbols))
            else:
                words.append(symbol)
        return words

    @cached_property
    def _cumulative(self) -> dict[str, list[int]]:
        return {h: list(accumulate(r.weight for r in rules)) for h, rules in self.rules.items()}

    # Parsing: all leftmost derivations at once, those with the same stack merged

    def log2_probability(self, words: Sequence[str]) -> float:
        """Return the base-2 logarithm of the probability of the sentence, or -inf if it is none.

        The probability is the sum over all derivations of the sentence, exact up to rounding.
        """
        states: dict[Stack, float] = {(self.start,): 1.0}
        for word in words:
            following: dict[Stack, float] = {}
            for stack, probability in states.items():
                _add(following, self._after(stack, word), probability)
            states = following
        probability = states.get((), 0.0)
        return math.log2(probability) if probability else -math.inf

    def _after(self, stack: Stack, word: str) -> dict[Stack, float]:
        """Return the stacks to which reading ``word`` leads, with their probabilities."""
        if not stack or word not in self._first[stack[0]]:
            return {}
        opened = self._opened(stack[0], word)
        return {rest + stack[1:]: weight for rest, weight in opened.items()}

    def _opened(self, symbol: str, word: str) -> dict[Stack, float]:
        """Return the same for the stack of ``symbol`` alone, whose first word is ``word``."""
        if symbol == word:
            return {(): 1.0}
        known = self._known.get((symbol, word))
        if known is None:
            known = self._known[symbol, word] = {}
            for rule, chance in zip(self.rules[symbol], self.probabilities(symbol), strict=True):
                _add(known, self._after(rule.symbols, word), float(chance))
        return known

    @cached_property
    def _known(self) -> dict[tuple[str, str], dict[Stack, float]]:
        return {}  # the results of `_opened` so far

    @cached_property
    def _first(self) -> dict[str, frozenset[str]]:
        """The words that can open each symbol."""
        first = {word: frozenset([word]) for word in self.vocabulary}
        for head in self._children_first:
            first[head] = frozenset().union(*(first[r.symbols[0]] for r in self.rules[head]))
        return first


def _add(total: dict[Stack, float], part: Mapping[Stack, float], factor: float) -> None:
    """Add to ``total`` the probabilities of ``part``, each multiplied by ``factor``."""
    for stack, probability in part.items():
        total[stack] = total.get(stack, 0.0) + factor * probability


def reachable(start: str, rules: Mapping[str, Sequence[Rule]]) -> dict[str, Sequence[Rule]]:
    """Return the rules that a derivation from ``start`` can use."""
    reached: dict[str, Sequence[Rule]] = {}
    waiting = [start]
    while waiting:
        head = waiting.pop()
        if head in rules and head not in reached:
            reached[head] = rules[head]
            waiting += [symbol for rule in rules[head] for symbol in rule.symbols]
    return reached


# ---- the notation -------------------------------------------------------------------------------


def read_rules(text: str, features: Mapping[str, Feature]) -> dict[str, list[Rule]]:
    """Return the rules of each head in ``text``.

    A line that ends in a colon names a head; each line below it is a rule, an integer weight and
    symbols. A key of ``features`` (one character) stands for each of its values: in a head it
    makes a copy of the rules for each value; in a rule alone it divides the rule's weight among
    the values in proportion to theirs. Agreement is thus one sign written twice. All weights are
    multiplied by the same integer, so that they stay integers.
    """
    rules: dict[str, list[Rule]] = {}
    head = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.endswith(":"):
            head = line[:-1]
            continue
        weight, _, body = line.partition(" ")
        if not (head and weight.isdecimal() and body):
            raise ValueError(f"cannot read {line!r}; below a head, write a weight and symbols")
        for name, symbols, share in _instances(head, body, list(features.items())):
            rules.setdefault(name, []).append(Rule(int(weight) * share, tuple(symbols.split())))
    return rules


def _instances(
    head: str, body: str, features: list[tuple[str, Feature]]
) -> Iterator[tuple[str, str, int]]:
    """Yield head and body with every feature replaced, and the integer share of this choice."""
    if not features:
        yield head, body, 1
        return
    (sign, values), *others = features
    whole = sum(values.values())
    if sign not in head + body:
        values = {"": whole}
    for value, part in values.items():
        choice = head.replace(sign, value), body.replace(sign, value)
        for name, symbols, share in _instances(*choice, others):
            yield name, symbols, share * (whole if sign in head else part)
