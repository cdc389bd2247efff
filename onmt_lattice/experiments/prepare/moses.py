"""What Moses' ``tokenizer.perl`` and ``clean-corpus-n.perl`` do, without Perl.

Tokenising is sacremoses' work, a port of the first script. It differs from the script (Moses as of
2019, after its pull request 204) in three things, which are corrected here:

* the script always separates the last full stop of a line from its word ("e.g ." at the end), the
  port keeps the rule of 2018, by which abbreviations keep theirs;
* Chinese, Japanese and Korean letters are letters to the script in every language; to the port
  only in those languages, so that in English text it separates each of them from its neighbours;
* the script deletes the four separators U+001C to U+001F, the port replaces them by spaces.

The port also builds sets of ten thousand letters at each full stop, here replaced by a look-up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from sacremoses import MosesTokenizer

# The letters that sacremoses' tables lack unless the language is one of theirs: kana,
# ideographs, Yi, Hangul, compatibility ideographs and the supplementary ideographic planes.
_CJK = (
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u318e"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uac00-\ud7a3\uf900-\ufaff\U00020000-\U000323af"
)
_SEPARATORS = dict.fromkeys(range(0x1C, 0x20))

# Moses' limits: times as many tokens as its other side that a sentence may have, characters.
_RATIO, _LONGEST_TOKEN = 9, 1000


class Tokeniser(MosesTokenizer):
    """The Moses tokeniser of one language, "en" or "de": a line in, its tokens out.

    Tokens are separated by single spaces and ``& | < > ' " [ ]`` are written as HTML entities, as
    Moses does: the result has no other white space, and no space at either end.
    """

    def __init__(self, language: str) -> None:
        super().__init__(language)
        self._before_digits = frozenset(self.NUMERIC_ONLY_PREFIXES)
        self._abbreviations = frozenset(self.NONBREAKING_PREFIXES) - self._before_digits
        self.PAD_NOT_ISALNUM = _widened(MosesTokenizer.PAD_NOT_ISALNUM, MosesTokenizer.IsAlnum)
        self.ENGLISH_SPECIFIC_APOSTROPHE = [
            _widened(rule, MosesTokenizer.IsAlpha)
            for rule in MosesTokenizer.ENGLISH_SPECIFIC_APOSTROPHE
        ]

    def __call__(self, line: str) -> str:
        """Return the tokens of ``line``, separated by single spaces."""
        return self.tokenize(line.translate(_SEPARATORS), return_str=True).strip()

    def handles_nonbreaking_prefixes(self, text: str) -> str:
        """Separate full stops from the words before them, except for abbreviations in the line."""
        words = text.split()
        for i, word in enumerate(words):
            stem, following = word[:-1], words[i + 1] if i + 1 < len(words) else ""
            if word[-1] == "." and stem and not self._keeps_stop(stem, following):
                words[i] = stem + " ."
        return " ".join(words)

    def _keeps_stop(self, stem: str, following: str) -> bool:
        return following != "" and (
            ("." in stem and any(map(str.isalpha, stem)))
            or stem in self._abbreviations
            or following[0].islower()
            or (stem in self._before_digits and following[0] in "0123456789")
        )


@lru_cache
def tokeniser(language: str) -> Tokeniser:
    """Return this process's tokeniser of ``language``."""
    return Tokeniser(language)


def _widened(rule: tuple[re.Pattern[str], str], letters: str) -> tuple[re.Pattern[str], str]:
    """Return a rule of sacremoses whose character class ``letters`` has CJK letters too."""
    pattern, replacement = rule
    return re.compile(pattern.pattern.replace(letters, letters + _CJK)), replacement


class Cleaned(NamedTuple):
    """A pair of sentences."""

    english: str
    german: str
    fault: str | None  # why it is dropped, None if it is not
    valid: bool  # UTF-8


def clean(
    pairs: Iterable[tuple[bytes, bytes]], longest: int = 80, plain: bool = False
) -> list[Cleaned]:
    """Tokenise pairs of an English and a German line, and mark those beyond Moses' limits.

    The limit of tokens is ``longest``. If ``plain``, the sentences are returned as they were, with
    single spaces. Bytes that are not UTF-8 become U+FFFD.
    """
    cleaned = []
    for pair in pairs:
        english, german = texts = [side.decode(errors="replace") for side in pair]
        tokens = tokeniser("en")(english), tokeniser("de")(german)
        fault = _fault(*(side.split() for side in tokens), longest=longest)
        english, german = (" ".join(text.split()) for text in texts) if plain else tokens
        cleaned.append(Cleaned(english, german, fault, [t.encode() for t in texts] == [*pair]))
    return cleaned


def _fault(*sides: list[str], longest: int) -> str | None:
    """Return the first limit that a pair of sentences, as tokens, exceeds."""
    shorter, longer = sorted(map(len, sides))
    if shorter == 0:
        return "empty"
    if longer > longest:
        return "too long"
    if longer > _RATIO * shorter:
        return "lengths apart"
    if any(len(token) > _LONGEST_TOKEN for tokens in sides for token in tokens):
        return "long word"
    return None
