"""Moses tokenisation: what ``tokenizer.perl -q -l LANGUAGE`` prints, without Perl.

The work is sacremoses', a port of that script. Four things in which the port differs from the
script (Moses as of 2019, after its pull request 204) are mended here:

* the script always parts the last full stop of a line from its word ("e.g ." at the end), the
  port keeps the rule of 2018, by which abbreviations keep theirs;
* Chinese, Japanese and Korean letters are letters to the script in every language; to the port
  only in those languages, so that in English text it parts each of them from its neighbours;
* the script deletes the four separators U+001C to U+001F, the port makes spaces of them;
* the port builds sets of ten thousand letters anew at each full stop; here a look-up does it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sacremoses import MosesTokenizer

# The letters that sacremoses leaves out of its tables unless the language is one of theirs: kana,
# ideographs, Yi, Hangul, compatibility ideographs and the supplementary ideographic planes.
_CJK = (
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u318e"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uac00-\ud7a3\uf900-\ufaff\U00020000-\U000323af"
)
_SEPARATORS = dict.fromkeys(range(0x1C, 0x20))


class Tokeniser(MosesTokenizer):
    """The Moses tokeniser of one language, "en" or "de": a line in, its tokens out.

    Tokens are parted by single spaces and ``& | < > ' " [ ]`` are written as HTML entities, as
    Moses does: the result holds no other white space, and no space at either end.
    """

    def __init__(self, language: str) -> None:
        super().__init__(language)
        numeric = set(self.NUMERIC_ONLY_PREFIXES)
        self._before_digits = frozenset(numeric)
        self._abbreviations = frozenset(self.NONBREAKING_PREFIXES) - numeric
        self.PAD_NOT_ISALNUM = _widened(MosesTokenizer.PAD_NOT_ISALNUM, MosesTokenizer.IsAlnum)
        self.ENGLISH_SPECIFIC_APOSTROPHE = [
            _widened(rule, MosesTokenizer.IsAlpha)
            for rule in MosesTokenizer.ENGLISH_SPECIFIC_APOSTROPHE
        ]

    def __call__(self, line: str) -> str:
        """Return the tokens of ``line``, parted by single spaces; no tokens, no characters."""
        return self.tokenize(line.translate(_SEPARATORS), return_str=True).strip()

    def handles_nonbreaking_prefixes(self, text: str) -> str:
        """Part full stops from the words before them, but for abbreviations inside the line."""
        words = text.split()
        for i, word in enumerate(words):
            stem, following = word[:-1], words[i + 1] if i + 1 < len(words) else ""
            if word[-1] == "." and stem and not self._keeps_stop(stem, following):
                words[i] = stem + " ."
        return " ".join(words)

    def _keeps_stop(self, stem: str, following: str) -> bool:
        if not following:
            return False
        return (
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
    """Return a rule of sacremoses whose character class ``letters`` holds CJK letters too."""
    pattern, replacement = rule
    return re.compile(pattern.pattern.replace(letters, letters + _CJK)), replacement
