"""What WMT16 German-English consists of."""

from __future__ import annotations

from typing import NamedTuple

ARCHIVES = {
    "de-en.tgz": "http://www.statmt.org/europarl/v7",
    "training-parallel-commoncrawl.tgz": "http://www.statmt.org/wmt13",
    "training-parallel-nc-v11.tgz": "http://data.statmt.org/wmt16/translation-task",
    "dev.tgz": "http://data.statmt.org/wmt16/translation-task",
    "test.tgz": "http://data.statmt.org/wmt16/translation-task",
}
"""The folder on the web in which each archive lies."""


class Corpus(NamedTuple):
    """A parallel corpus: two files of an archive, translations of each other line by line."""

    archive: str
    stem: str

    @property
    def members(self) -> tuple[str, str]:
        """The English and the German file."""
        return f"{self.stem}.en", f"{self.stem}.de"


class Text(NamedTuple):
    """English sentences to measure on: a file of an archive, plain or SGM, and their number."""

    archive: str
    member: str
    sentences: int


TRAINING = {
    "europarl-v7": Corpus("de-en.tgz", "europarl-v7.de-en"),
    "commoncrawl": Corpus("training-parallel-commoncrawl.tgz", "commoncrawl.de-en"),
    "news-commentary-v11": Corpus(
        "training-parallel-nc-v11.tgz", "training-parallel-nc-v11/news-commentary-v11.de-en"
    ),
}
"""The training corpora, in the order in which the tutorial's script concatenates them."""

TEXTS = {
    "valid": Text("dev.tgz", "dev/newstest2013.en", 3000),
    "newstest2014": Text("dev.tgz", "dev/newstest2014-deen-ref.en.sgm", 3003),
    "newstest2015": Text("dev.tgz", "dev/newstest2015-deen-ref.en.sgm", 2169),
    "newstest2016": Text("test.tgz", "test/newstest2016-deen-ref.en.sgm", 2999),
}
"""The text to validate on, newstest2013, and those to test on: the English side of each."""

FULL_NEWSTEST2014 = Text("test-full.tgz", "test-full/newstest2014-deen-ref.en.sgm", 3003)
"""newstest2014 where sacrebleu finds it: in an archive of that year's test sets."""

MODEL_FILES = {"bpe": "bpe.codes", "sentencepiece": "sentencepiece.model"}
"""The types of subword model, and the name of each one's file."""
