"""What a preparation of WMT16 is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onmt_lattice.prepare.download import Retries


@dataclass(frozen=True)
class Options:
    """The options of ``prepare wmt16``; the defaults are the paper's, but for ``joint``."""

    out: Path
    subword: str = "bpe"
    """The kind of subword model, "bpe" or "sentencepiece"."""
    merges: int = 32_000
    """Merges of BPE, or pieces of sentencepiece."""
    joint: bool = False
    """Learn the subword model, and count the vocabulary, on the German side too."""
    longest: int = 80
    """Tokens that a training sentence and its German side may have at most."""
    seed: int | None = 1
    """Of the order of the training sentences; None keeps the order of the corpora."""
    workers: int = 1
    """Processes that tokenise and segment."""
    given: Path | None = None
    """A folder of archives that need no download."""
    mirror: str | None = None
    """The address of a folder with the archives, in place of their own."""
    checksums: Path | None = None
    """A file of SHA-256 sums that archives must have."""
    retries: Retries = field(default_factory=Retries)
    keep_work: bool = False
    """Keep the tokenised text, so that another subword model is made sooner."""
    redo: bool = False
    """Replace data that was prepared with other options."""

    @property
    def plain(self) -> bool:
        """Whether sentences stay as they are, for sentencepiece, instead of being tokenised."""
        return self.subword == "sentencepiece"

    def of_data(self) -> dict[str, Any]:
        """Return the options on which the prepared data depends."""
        return {
            "subword": self.subword,
            "merges": self.merges,
            "joint": self.joint,
            "longest": self.longest,
            "seed": self.seed,
        }
