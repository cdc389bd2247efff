"""A probabilistic grammar of English whose sentences have 6 to 15 words and one derivation each.

In the rules a name with a capital is a nonterminal, any other a word, and five signs stand for
features (see `read_rules`): # number, @ tense, ~ tense without an auxiliary, % the class of an
object, $ the class of a verb. ``Np.animal.sg`` is thus a singular noun phrase and ``Act.pl.past``
a verb phrase with its object, in the past, whose subject is plural. ``An.`` before a class of
words is one of them after its indefinite article.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

from onmt_lattice.experiments.corpus import lexicon
from onmt_lattice.experiments.corpus.grammar import Grammar, Rule, reachable
from onmt_lattice.experiments.corpus.notation import read_rules

FEATURES = {
    "#": {"sg": 3, "pl": 2},
    "@": {"pres": 2, "past": 2, "fut": 1},
    "~": {"pres": 1, "past": 1},
    "%": {"person": 5, "animal": 4, "food": 5, "tool": 5}
    | {"text": 3, "music": 2, "clothes": 3, "vehicle": 2},
    "$": {verb: 1 for verb in lexicon.VERBS},
}

SENTENCES = """
Sentence:
    12  Np.person.# Act.#.@ End.@
     6  Time.@ Np.person.# Act.#.@
     4  Time.@ Np.person.# Act.#.@ Where
     8  Np.person.# who Deed.#.~ Main.#.@
     4  Np.person.# who Brief.live.#.~ Where Act.#.@
     5  Np.person.# with Object.clothes Act.#.@
     5  Person and Person Act.pl.@
     6  Np.person.# Deed.#.~ and Deed.#.~
     7  Np.animal.# Hunt.#.@ End.@
     5  Np.animal.# that Catch.#.~ Verb.roam.#.@ Where
     4  Np.animal.# Be.#.~ Comparative than Animal
     5  there Be.#.~ Some.# Where
     4  there Be.sg.~ An.Noun.person.sg who Deed.sg.~ Where
    12  Clause.~ Link Clause.~
     6  Np.person.# Verb.think.#.@ that Clause.~
     6  Np.person.# Verb.give.#.@ Gift to Person
     4  Np.person.# Verb.move.#.@ Path Manner
     4  Np.person.# Verb.move.#.@ Path Time.@
     4  Np.%.# Be.#.~ Participle.% by Person
     4  Np.%.# that Person Past.% Be.#.~ Quality.%
"""

VERB_PHRASES = """
Clause.~:
     4  Np.person.# Deed.#.~
     2  Np.person.# Brief.live.#.~ Manner
     2  Np.animal.# Catch.#.~
     1  Np.animal.# Brief.roam.#.~ Manner
     2  Np.person.# Be.#.~ Feeling
Main.#.@:
     6  Act.#.@
     2  Verb.live.#.@ Where
     1  Verb.live.#.@ Manner
Act.#.@:
     9  Verb.%.#.@ Object.%
     4  Verb.place.#.@ Place
Hunt.#.@:
     2  Verb.prey.#.@ Animal
     2  Verb.feast.#.@ Object.food
     1  Verb.master.#.@ Person
Deed.#.~:
     1  Brief.%.#.~ Object.%
Catch.#.~:
     2  Brief.prey.#.~ Animal
     2  Brief.feast.#.~ Object.food
     1  Brief.master.#.~ Person
Verb.$.sg.pres:
     9  Third.$
     2  Frequency Third.$
     1  does not Base.$
Verb.$.pl.pres:
     9  Base.$
     2  Frequency Base.$
     1  do not Base.$
Verb.$.#.past:
     9  Past.$
     1  did not Base.$
Verb.$.#.fut:
     5  Modal Base.$
     1  Modal not Base.$
Brief.$.sg.pres:
     1  Third.$
Brief.$.pl.pres:
     1  Base.$
Brief.$.#.past:
     1  Past.$
Be.sg.pres:
     1  is
Be.pl.pres:
     1  are
Be.sg.past:
     1  was
Be.pl.past:
     1  were
"""

NOUN_PHRASES = """
Np.%.sg:
     4  the Noun.%.sg
     3  An.Noun.%.sg
     3  Modifier.sg Noun.%.sg
     3  the Adjective.% Noun.%.sg
     3  An.Adjective.% Noun.%.sg
     2  Modifier.sg Adjective.% Noun.%.sg
Np.%.pl:
     4  the Noun.%.pl
     3  Modifier.pl Noun.%.pl
     4  Adjective.% Noun.%.pl
     3  the Adjective.% Noun.%.pl
     3  Modifier.pl Adjective.% Noun.%.pl
Np.substance:
     2  the Substance
     3  Modifier.substance Substance
     3  Adjective.food Substance
     1  the Adjective.food Substance
Person:
     1  Np.person.#
Animal:
     1  Np.animal.#
Object.%:
     1  Np.%.#
Object.food:
     1  Np.substance
Gift:
     4  Object.tool
     2  Object.text
     2  Object.food
     1  Object.clothes
Some.sg:
     2  An.Noun.%.sg
     1  An.Adjective.% Noun.%.sg
Some.pl:
     2  Modifier.many Noun.%.pl
     1  Adjective.% Noun.%.pl
"""

ADVERBIALS = """
End.@:
     5  Manner
     4  Where
     4  Time.@
     2  Where Time.@
Time.pres:
     4  every Period.pres
     1  on Weekday.pl
Time.past:
     3  last Period.past
     1  last Weekday.sg
     2  yesterday
Time.fut:
     3  next Period.fut
     1  next Weekday.sg
     2  tomorrow
     1  soon
     1  tonight
Where:
     5  in Modifier.place Inside
     2  on Modifier.place Surface
     3  Beside Place
Path:
     3  to Place
     1  toward Place
     1  past Place
     1  into the Inside
     1  through the Inside
     1  across the Surface
Place:
     5  the Inside
     2  the Surface
     3  the Landmark
Inside:
     3  Noun.inside
     2  Adjective.place Noun.inside
Surface:
     3  Noun.surface
     2  Adjective.place Noun.surface
Landmark:
     3  Noun.landmark
     2  Adjective.place Noun.landmark
Feeling:
     2  Mood
     1  Degree Mood
Quality.%:
     2  Adjective.%
     1  Degree Adjective.%
"""


@lru_cache(maxsize=1)
def english_grammar() -> Grammar:
    """Return the grammar of the embedded corpus."""
    rules = read_rules(SENTENCES + VERB_PHRASES + NOUN_PHRASES + ADVERBIALS, FEATURES)
    for head, words in _word_classes():
        rules[head] = [Rule(weight, (word,)) for weight, word in _zipf(words)]
        rules[f"An.{head}"] = [
            Rule(weight, (lexicon.article(word), word)) for weight, word in _zipf(words)
        ]
    return Grammar("Sentence", reachable("Sentence", rules))


def ideal_bits(lines: Iterable[str]) -> list[float] | None:
    """Return -log2 P of each nonempty line, in bits, if the English grammar generates them all.

    None if it does not generate some line, found at the first such, or if there is no line. On
    sentences drawn from the grammar, no code is expected to take fewer bits than these do, whose
    own expectation is the grammar's ``entropy_bits``.
    """
    grammar, bits = english_grammar(), []
    for words in filter(None, map(str.split, lines)):
        bits.append(-grammar.log2_probability(words))
        if math.isinf(bits[-1]):
            return None
    return bits or None


def _word_classes() -> Iterator[tuple[str, list[str]]]:
    """Yield each nonterminal that stands for one word, and its words, the most frequent first."""
    for name, entries in lexicon.NOUNS.items():
        singulars, plurals = zip(*map(lexicon.noun_forms, entries.split()), strict=True)
        yield f"Noun.{name}.sg", list(singulars)
        yield f"Noun.{name}.pl", list(plurals)
    for name, entries in lexicon.VERBS.items():
        forms = zip(*map(lexicon.verb_forms, entries.split()), strict=True)
        for form, words in zip(("Base", "Third", "Past", "Participle"), forms, strict=True):
            yield f"{form}.{name}", list(words)
    for name, entries in lexicon.CLOSED.items():
        yield name, entries.split()


def _zipf(words: list[str]) -> Iterator[tuple[int, str]]:
    """Yield each word with its weight, near 10000 / (rank + 8): the law of Zipf and Mandelbrot."""
    for rank, word in enumerate(words, start=1):
        yield 10_000 // (rank + 8), word
