"""What a preparation of WMT16 is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL_FILES = {"bpe": "bpe.codes", "sentencepiece": "sentencepiece.model"}
"""The kinds of subword model, and the name of each one's file."""


@dataclass(frozen=True)
class Options:
    """The options of ``prepare wmt16``; the defaults are the paper's, but for ``joint_bpe``."""

    output: Path
    subword: str = "bpe"
    """The kind of subword model, of MODEL_FILES."""
    merges: int = 32_000
    """Merges of BPE, or pieces of sentencepiece."""
    joint_bpe: bool = False
    """Learn the subword model, and count the vocabulary, on the German side too."""
    max_tokens: int = 80
    """Tokens that a training sentence and its German side may have at most."""
    seed: int = 1
    """Of the order of the training sentences."""
    keep_order: bool = False
    """Leave the training sentences in the order of the corpora."""
    given: Path | None = None
    """A folder of archives that need no download."""
    mirror: str | None = None
    """The address of a folder with the archives, in place of their own."""
    checksums: Path | None = None
    """A file of SHA-256 sums that archives must have."""
    tries: int = 6
    """Attempts in a row without one new byte after which a download is given up."""
    workers: int = 1
    """Processes that tokenise and segment."""
    keep_work: bool = False
    """Keep the tokenised text, so that another subword model is made sooner."""
    redo: bool = False
    """Replace data that was prepared with other options."""

    @property
    def plain(self) -> bool:
        """Whether sentences stay as they are, for sentencepiece, instead of being tokenised."""
        return self.subword == "sentencepiece"

    @property
    def order(self) -> int | None:
        """The seed of the training sentences' order, None for the order of the corpora."""
        return None if self.keep_order else self.seed

    def of_data(self) -> dict[str, Any]:
        """Return the options on which the prepared data depends."""
        names = ("subword", "merges", "joint_bpe", "max_tokens")
        return {name: getattr(self, name) for name in names} | {"seed": self.order}
