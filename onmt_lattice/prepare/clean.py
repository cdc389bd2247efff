"""From raw pairs to the sentences that training keeps, by the rules of ``clean-corpus-n.perl``."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from onmt_lattice.prepare.tokenise import tokeniser


class Limits(NamedTuple):
    """The bounds a pair has to keep within, on both sides; Moses' defaults."""

    longest: int = 80
    """Tokens a sentence may have at most."""
    ratio: float = 9.0
    """How many times as many tokens as its other side a sentence may have at most."""
    word: int = 1000
    """Characters a token may have at most."""


class Cleaned(NamedTuple):
    """The kept sentences of some pairs, why others were dropped, and which were no UTF-8."""

    english: list[str]
    german: list[str]
    faults: Counter[str]
    invalid: list[int]
    """The places in the batch, from 0, of pairs with bytes that are not UTF-8."""


def clean(pairs: list[tuple[bytes, bytes]], limits: Limits, plain: bool) -> Cleaned:
    """Tokenise pairs of an English and a German line and drop those beyond ``limits``.

    The kept sentences come back tokenised, or if ``plain`` as they were, with single spaces.
    Bytes that are not UTF-8 become U+FFFD, as in the tutorial one such line stops nothing.
    """
    result = Cleaned([], [], Counter(), [])
    for place, (english, german) in enumerate(pairs):
        texts = decode(english), decode(german)
        if not all(valid for _, valid in texts):
            result.invalid.append(place)
        raw = [text for text, _ in texts]
        tokens = tokeniser("en")(raw[0]), tokeniser("de")(raw[1])
        if reason := fault(*tokens, limits):
            result.faults[reason] += 1
            continue
        kept = [" ".join(text.split()) for text in raw] if plain else tokens
        result.english.append(kept[0])
        result.german.append(kept[1])
    return result


def fault(english: str, german: str, limits: Limits) -> str | None:
    """Return why a pair of tokenised sentences is dropped, or None when it is kept.

    The faults, in the order they are looked for: "empty", "too long", "lengths apart" and
    "long word".
    """
    sides = english.split(), german.split()
    shorter, longer = sorted(map(len, sides))
    if shorter == 0:
        return "empty"
    if longer > limits.longest:
        return "too long"
    if longer > limits.ratio * shorter:
        return "lengths apart"
    if any(len(word) > limits.word for words in sides for word in words):
        return "long word"
    return None


def decode(line: bytes) -> tuple[str, bool]:
    """Return a line as text, U+FFFD in place of what is not UTF-8, and whether all of it was."""
    try:
        return line.decode(), True
    except UnicodeDecodeError:
        return line.decode(errors="replace"), False
