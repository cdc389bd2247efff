"""Subword models: BPE in subword-nmt's format, and sentencepiece. One learns, one segments."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import sentencepiece
import subword_nmt.learn_bpe
from subword_nmt.apply_bpe import BPE

from onmt_lattice.errors import UserError
from onmt_lattice.files import whole_file, write_text

Segmenter = Callable[[str], list[str]]
"""From a line to its subword units."""

PIECES_SAMPLE = 1_000_000
"""Sentences that sentencepiece learns from at most: the first ones of the shuffled text."""

_CACHED_WORDS = 100_000  # a process keeps the segmentation of this many words: some 40 MB


def learn_bpe(lines: Iterable[str], merges: int, path: Path) -> dict[str, int]:
    """Write the ``merges`` best merges of tokenised ``lines`` in subword-nmt's format.

    Return the number of words and of different words in the text and of merges learned, fewer
    than asked for when no pair of symbols is left that occurs twice.

    Raises:
        UserError: if no pair of symbols occurs twice.
    """
    words: Counter[str] = Counter()
    for line in lines:
        words.update(line.split())
    facts = {"words": words.total(), "types": len(words)}
    model = io.StringIO()
    if any(len(word) > 1 for word in words):
        counted = (f"{word} {count}" for word, count in words.items())
        with redirect_stderr(sys.stderr if sys.stderr.isatty() else io.StringIO()):  # progress
            subword_nmt.learn_bpe.learn_bpe(counted, model, merges, is_dict=True)
    learned = model.getvalue().count("\n") - 1  # the first line is the format's version
    if learned < 1:
        raise UserError("the training text is too small: no two symbols occur together twice")
    write_text(path, model.getvalue())
    return facts | {"merges": learned}


def learn_pieces(lines: Iterable[str], size: int, path: Path) -> dict[str, int]:
    """Write a sentencepiece model (BPE) of ``size`` pieces, learned from the first ``lines``.

    Raises:
        UserError: if the text does not yield so many pieces.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=islice(lines, PIECES_SAMPLE),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            character_coverage=0.9999,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise UserError(
            f"sentencepiece cannot learn {size:,} pieces from this text ({error}); "
            "give another -merges"
        ) from error
    with whole_file(path) as part:
        part.write_bytes(model.getvalue())
    return {"pieces": size}


def kind_of(path: Path) -> str:
    """Return the kind of the model in a file, which its name tells: ``*.model`` or any other."""
    return "sentencepiece" if path.suffix == ".model" else "bpe"


def segmenter(path: Path) -> Segmenter:
    """Return what segments a line by the model in a file; for BPE the line is of tokens.

    Raises:
        UserError: if there is no such file, or it holds no such model.
    """
    if not path.is_file():
        raise UserError(f"there is no subword model {path}")
    return _segmenter(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _segmenter(path: Path, stamp: int) -> Segmenter:
    try:
        return _pieces(path) if kind_of(path) == "sentencepiece" else _merges(path)
    except (SystemExit, RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"{path} holds no model: neither merges as subword-nmt writes them, nor, for a name "
            "that ends in .model, sentencepiece's"
        ) from error


def _merges(path: Path) -> Segmenter:
    with path.open(encoding="utf-8") as stream:
        bpe = BPE(stream)

    def units(line: str) -> list[str]:
        if len(bpe.cache) > _CACHED_WORDS:
            bpe.cache.clear()
        return bpe.segment_tokens(line.split())

    return units


def _pieces(path: Path) -> Segmenter:
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return partial(model.encode, out_type=str)


class Segmented(NamedTuple):
    """Some lines, and the units they are segmented in, with how often each occurs."""

    lines: list[str]
    units: Counter[str]


def segment(lines: list[str], model: Path, plain: bool = False) -> Segmented:
    """Segment ``lines``; each comes back as its units parted by spaces, or as it was if ``plain``.

    A line of which nothing is left comes back empty.

    Raises:
        UserError: if there is no such model in the file.
    """
    units = list(map(segmenter(model), lines))
    shown = lines if plain else map(" ".join, units)
    joined = [line if found else "" for line, found in zip(shown, units, strict=True)]
    return Segmented(joined, Counter(chain.from_iterable(units)))
