"""The embedded corpus: three independent samples of the English grammar."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from onmt_lattice.experiments.corpus.english import english_grammar
from onmt_lattice.files import write_text


class Split(NamedTuple):
    """How many sentences are drawn, from which seed."""

    sentences: int
    seed: int


SPLITS = {"train": Split(40_000, 1), "valid": Split(1_000, 2), "test": Split(1_000, 3)}


def corpus_text(split: str) -> str:
    """Return a split of the corpus, a line a sentence; the same on every machine.

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
    """Write train.en, valid.en and test.en to ``folder``, a sentence a line, 2.2 MB in all."""
    for split in SPLITS:
        write_text(folder / f"{split}.en", corpus_text(split))
