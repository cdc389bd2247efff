"""The notation of grammars: weights, features, agreement."""

from __future__ import annotations

import pytest

from onmt_lattice.experiments.corpus.grammar import Grammar, Rule
from onmt_lattice.experiments.corpus.notation import read_rules

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


def test_a_head_named_twice_has_the_rules_of_both() -> None:
    assert read_rules("S:\n 1 a\nS:\n 2 b", {}) == {"S": [Rule(1, ("a",)), Rule(2, ("b",))]}


@pytest.mark.parametrize("text", ["1 a", "S:\n a b", "S:\n 1", "S:\n -1 a"])
def test_a_line_that_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        read_rules(text, {})
