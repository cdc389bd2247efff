"""The embedded corpus: samples of a grammar of English of one derivation per sentence.

Sentences have 6 to 15 words. In ``rules.txt`` a name with a capital is a nonterminal, any other a
word, and five signs stand for features (see `read_rules`): # number, @ tense, ~ tense without an
auxiliary, % the class of an object, $ the class of a verb. ``Np.animal.sg`` is thus a singular noun
phrase and ``Act.pl.past`` a verb phrase with its object, in the past, whose subject is plural.
``An.`` before a class of words is one of them after its indefinite article. The classes are in
``words.ini``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from onmt_lattice.experiments.corpus.grammar import Grammar, Rule, reachable, read_rules
from onmt_lattice.files import write_text

HERE = Path(__file__).parent


class Split(NamedTuple):
    """How many sentences are drawn, from which seed."""

    sentences: int
    seed: int


SPLITS = {"train": Split(40_000, 1), "valid": Split(1_000, 2), "test": Split(1_000, 3)}


@lru_cache(maxsize=1)
def english_grammar() -> Grammar:
    """Return the grammar of the embedded corpus."""
    words = ConfigParser(delimiters="=", interpolation=None)
    words.optionxform = str  # type: ignore[method-assign,assignment]
    words.read(HERE / "words.ini", encoding="utf-8")
    features = {
        "#": {"sg": 3, "pl": 2},
        "@": {"pres": 2, "past": 2, "fut": 1},
        "~": {"pres": 1, "past": 1},
        "%": {"person": 5, "animal": 4, "food": 5, "tool": 5}
        | {"text": 3, "music": 2, "clothes": 3, "vehicle": 2},
        "$": dict.fromkeys(words["verbs"], 1),
    }
    rules = read_rules((HERE / "rules.txt").read_text(encoding="utf-8"), features)
    for head, forms in _word_classes(words):
        rules[head] = [Rule(weight, (word,)) for weight, word in _zipf(forms)]
        rules[f"An.{head}"] = [
            Rule(weight, ("an" if word[0] in "aeiou" else "a", word))
            for weight, word in _zipf(forms)
        ]
    return Grammar("Sentence", reachable("Sentence", rules))


def ideal_bits(lines: Iterable[str]) -> list[float] | None:
    """Return -log2 P of each nonempty line, in bits, if the English grammar generates them all.

    None if it does not, or if there is no line. No code of sentences drawn from the grammar is
    expected to take fewer bits; their expectation is the grammar's ``entropy_bits``.
    """
    grammar, bits = english_grammar(), []
    for words in filter(None, map(str.split, lines)):
        bits.append(-grammar.log2_probability(words))
        if math.isinf(bits[-1]):
            return None
    return bits or None


def corpus_text(split: str) -> str:
    """Return a split of the corpus, one sentence per line; the same on every machine.

    The sentences are independent draws from the grammar, so that one may occur twice, and in two
    splits: without them the distribution, and its entropy, would be another.

    Raises:
        KeyError: for a split not in `SPLITS`.
    """
    sentences, seed = SPLITS[split]
    rng = random.Random(seed)
    grammar = english_grammar()
    return "".join(" ".join(grammar.sample(rng)) + "\n" for _ in range(sentences))


def write_corpus(folder: Path) -> None:
    """Write train.en, valid.en and test.en to ``folder``, one sentence per line, 2.2 MB in all."""
    for split in SPLITS:
        write_text(folder / f"{split}.en", corpus_text(split))


def _word_classes(words: ConfigParser) -> Iterator[tuple[str, list[str]]]:
    """Yield each nonterminal that stands for one word, and its words, the most frequent first."""
    for name, entries in words["nouns"].items():
        singulars, plurals = zip(*map(_noun_forms, entries.split()), strict=True)
        yield f"Noun.{name}.sg", list(singulars)
        yield f"Noun.{name}.pl", list(plurals)
    for name, entries in words["verbs"].items():
        forms = zip(*map(_verb_forms, entries.split()), strict=True)
        for form, verbs in zip(("Base", "Third", "Past", "Participle"), forms, strict=True):
            yield f"{form}.{name}", list(verbs)
    for name, entries in words["closed"].items():
        yield name, entries.split()


def _zipf(words: list[str]) -> Iterator[tuple[int, str]]:
    """Yield each word with its weight, near 10000 / (rank + 8): the law of Zipf and Mandelbrot."""
    for rank, word in enumerate(words, start=1):
        yield 10_000 // (rank + 8), word


def _add_s(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "sh", "ch", "go")) else "s")


def _add_ed(verb: str) -> str:
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def _noun_forms(entry: str) -> tuple[str, str]:
    """Return singular and plural of an entry such as ``"dog"`` or ``"child:children"``."""
    singular, *irregular = entry.split(":")
    return singular, irregular[0] if irregular else _add_s(singular)


def _verb_forms(entry: str) -> tuple[str, str, str, str]:
    """Return base, third person, past, participle of an entry such as ``"eat:ate:eaten"``."""
    base, *irregular = entry.split(":")
    past, participle = irregular or (_add_ed(base), _add_ed(base))
    return base, _add_s(base), past, participle
