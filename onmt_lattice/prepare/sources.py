"""What WMT16 German-English is made of: its archives, and the texts in them."""

from __future__ import annotations

from typing import NamedTuple

ARCHIVES = {
    "de-en.tgz": "http://www.statmt.org/europarl/v7/",
    "training-parallel-commoncrawl.tgz": "http://www.statmt.org/wmt13/",
    "training-parallel-nc-v11.tgz": "http://data.statmt.org/wmt16/translation-task/",
    "dev.tgz": "http://data.statmt.org/wmt16/translation-task/",
    "test.tgz": "http://data.statmt.org/wmt16/translation-task/",
}
"""The folder on the web in which each archive lies."""


class Corpus(NamedTuple):
    """A parallel corpus: two members of an archive, line by line translations of each other."""

    archive: str
    english: str
    german: str


class Text(NamedTuple):
    """English sentences to measure on: a member of an archive, plain or SGM."""

    archive: str
    member: str
    sentences: int
    """How many there are; other numbers on other sentences do not compare."""


TRAINING = {
    "europarl-v7": Corpus("de-en.tgz", "europarl-v7.de-en.en", "europarl-v7.de-en.de"),
    "commoncrawl": Corpus(
        "training-parallel-commoncrawl.tgz", "commoncrawl.de-en.en", "commoncrawl.de-en.de"
    ),
    "news-commentary-v11": Corpus(
        "training-parallel-nc-v11.tgz",
        "training-parallel-nc-v11/news-commentary-v11.de-en.en",
        "training-parallel-nc-v11/news-commentary-v11.de-en.de",
    ),
}
"""The training corpora, in the order in which the tutorial's script concatenates them."""

VALIDATION = Text("dev.tgz", "dev/newstest2013.en", 3000)

TESTS = {
    "newstest2014": Text("dev.tgz", "dev/newstest2014-deen-ref.en.sgm", 3003),
    "newstest2015": Text("dev.tgz", "dev/newstest2015-deen-ref.en.sgm", 2169),
    "newstest2016": Text("test.tgz", "test/newstest2016-deen-ref.en.sgm", 2999),
}
"""The test texts: the English side of German-English, by name."""

FULL_NEWSTEST2014 = Text("test-full.tgz", "test-full/newstest2014-deen-ref.en.sgm", 3003)
"""newstest2014 where sacrebleu finds it: in an archive of that year's test sets."""


def members(archive: str) -> list[str]:
    """Return the members of ``archive`` that a preparation reads."""
    pairs = [(c.english, c.german) for c in TRAINING.values() if c.archive == archive]
    texts = [t.member for t in (VALIDATION, *TESTS.values()) if t.archive == archive]
    return [member for pair in pairs for member in pair] + texts
