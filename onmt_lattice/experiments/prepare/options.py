"""What WMT16 German-English consists of, and the options of its preparation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from onmt_lattice.config import COUNT, SEED, Config, option
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.environment import cores
from onmt_lattice.files import check_folder, check_output

ARCHIVES = {
    "de-en.tgz": "http://www.statmt.org/europarl/v7",
    "training-parallel-commoncrawl.tgz": "http://www.statmt.org/wmt13",
    "training-parallel-nc-v11.tgz": "http://data.statmt.org/wmt16/translation-task",
    "dev.tgz": "http://data.statmt.org/wmt16/translation-task",
    "test.tgz": "http://data.statmt.org/wmt16/translation-task",
}
"""The folder on the web in which each archive lies."""


class Corpus(NamedTuple):
    """A parallel corpus: two files of an archive, aligned line by line."""

    archive: str
    stem: str

    @property
    def members(self) -> tuple[str, str]:
        """The English and the German file."""
        return f"{self.stem}.en", f"{self.stem}.de"


class Text(NamedTuple):
    """English sentences to measure on."""

    archive: str
    member: str  # a file of it, plain or SGM
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


@dataclass(frozen=True, kw_only=True)
class _Options(Config):
    archives: Path | None = option(
        None, "use the archives in this folder", name="from", metavar="DIR"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.archives is not None and not self.archives.is_dir():
            raise UserError(f"-from {self.archives}: there is no such folder")


@dataclass(frozen=True, kw_only=True)
class Wmt16Options(_Options):
    """Prepare the paper's data, the English side of WMT16 German-English.

    Download Europarl v7, Common Crawl, News Commentary v11 and the test sets (1.2 GB), tokenise as
    Moses does, keep the pairs of sentences of 1 to 80 tokens, learn a subword model on them and
    segment. Writes to -output: train.en, valid.en (newstest2013), newstest2014.en, newstest2015.en,
    newstest2016.en, the subword model, vocab.txt (a unit, a tab, its count), data.yaml for
    OpenNMT-py and manifest.json. Can be interrupted, and resumes when run again; does nothing when
    all is done.

    example: onmt_lattice prepare wmt16 -output data/wmt16
    """

    output: Path = option(Path("data/wmt16"), "folder that everything goes to", metavar="DIR")
    subword: str = option(
        "bpe",
        "bpe: Moses tokens, segmented beforehand, merges in subword-nmt's format; sentencepiece: "
        "sentences as they are, which OpenNMT-py segments as it reads",
        sorted(MODEL_FILES),
    )
    merges: int = option(32_000, "merges or pieces", range=COUNT, metavar="N")
    joint_bpe: bool = option(
        False,
        "learn the subword model and count the vocabulary on both languages, as the tutorial does, "
        "not on English alone",
    )
    max_tokens: int = option(
        80, "drop pairs with more Moses tokens on either side", range=COUNT, metavar="N"
    )
    seed: int = option(1, "seed of the order of the training sentences", range=SEED, metavar="N")
    keep_order: bool = option(False, "do not shuffle the training sentences")
    mirror: str | None = option(
        None, "download URL/de-en.tgz and so on, not from statmt.org", metavar="URL"
    )
    checksums: Path | None = option(
        None, "SHA-256 that the archives must have, as of sha256sum", metavar="FILE"
    )
    tries: int = option(
        6,
        "attempts without one new byte after which a download fails; the pauses between them are "
        "1, 2, 4 ... 60 seconds",
        range=COUNT,
        metavar="N",
    )
    workers: int = option(cores(), "processes (default: one per core)", range=COUNT, metavar="N")
    keep_work: bool = option(False, "keep the tokens (0.7 GB), to try other -merges")
    redo: bool = option(False, "replace data that was prepared with other options")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mirror and not self.mirror.startswith(("http://", "https://")):
            raise UserError(f"-mirror {self.mirror}: expected an address, http:// or https://")
        check_folder(self.output, "-output")

    @property
    def plain(self) -> bool:
        """Whether sentences are not tokenised, but stay as they are for sentencepiece."""
        return self.subword == "sentencepiece"

    @property
    def order(self) -> int | None:
        """The seed of the training sentences' order, None for the order of the corpora."""
        return None if self.keep_order else self.seed

    def of_data(self) -> dict[str, Any]:
        """Return the options on which the prepared data depends."""
        names = ("subword", "merges", "joint_bpe", "max_tokens")
        return {name: getattr(self, name) for name in names} | {"seed": self.order}


@dataclass(frozen=True, kw_only=True)
class NewstestOptions(_Options):
    """Write newstest2014's 3,003 English sentences in Moses tokens, by way of sacrebleu.

    With -subword_model, in subword units. sacrebleu downloads its test set wmt14/full once.

    example: onmt_lattice prepare newstest2014 -output newstest2014.en
    """

    output: Path = option(
        Path("newstest2014.en"), "file to write, a sentence a line", metavar="FILE"
    )
    subword_model: Path | None = option(
        None,
        "segment with these BPE merges (bpe.codes), or this sentencepiece model (*.model)",
        metavar="FILE",
    )
    archives: Path | None = option(
        None, f"use DIR/{FULL_NEWSTEST2014.archive}", name="from", metavar="DIR"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_output(self.output, "-output")
