"""Subword models, to learn and to segment with: BPE in subword-nmt's format, sentencepiece."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path

import sentencepiece
import subword_nmt.learn_bpe
from subword_nmt.apply_bpe import BPE

from onmt_lattice.errors import UserError
from onmt_lattice.files import output_stream, write_text

_PIECES_SAMPLE = 1_000_000  # sentences that sentencepiece learns from at most
_CACHED_WORDS = 100_000  # whose segmentation a process keeps: some 40 MB


def learn_bpe(lines: Iterable[str], merges: int, path: Path) -> dict[str, int]:
    """Write the ``merges`` best merges of tokenised ``lines`` in subword-nmt's format.

    Return the number of "words" of the text, of "types" (different words) and of "merges", which
    are fewer where no other pair of symbols occurs twice.
    """
    words = Counter(chain.from_iterable(map(str.split, lines)))
    model = io.StringIO()
    if any(len(word) > 1 for word in words):
        counted = (f"{word} {count}" for word, count in words.items())
        with redirect_stderr(sys.stderr if sys.stderr.isatty() else io.StringIO()):  # progress
            subword_nmt.learn_bpe.learn_bpe(counted, model, merges, is_dict=True)
    learned = model.getvalue().count("\n") - 1  # the first line is the format's version
    if learned < 1:
        raise UserError("the training text is too small: no two symbols occur together twice")
    write_text(path, model.getvalue())
    return {"words": words.total(), "types": len(words), "merges": learned}


def learn_pieces(lines: Iterable[str], size: int, path: Path) -> dict[str, int]:
    """Write a sentencepiece model (BPE) of ``size`` pieces, learned from the first ``lines``."""
    try:
        with output_stream(str(path)) as stream:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=islice(lines, _PIECES_SAMPLE),
                model_writer=stream,
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
    return {"pieces": size}


def is_sentencepiece(model: Path) -> bool:
    """Return whether the model in a file is sentencepiece's, ``*.model``, and not BPE."""
    return model.suffix == ".model"


def segment(lines: Iterable[str], model: Path) -> list[str]:
    """Return the subword units of each line, with single spaces; for BPE, lines are of tokens."""
    if not model.is_file():
        raise UserError(f"there is no subword model {model}")
    try:
        units = _segmenter(model, model.stat().st_mtime_ns)
    except (SystemExit, RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"{model} is not a subword model: neither merges as subword-nmt writes them nor, for a "
            "name that ends in .model, sentencepiece's"
        ) from error
    return [" ".join(units(line)) for line in lines]


@lru_cache(maxsize=2)
def _segmenter(model: Path, changed: int) -> Callable[[str], list[str]]:
    if is_sentencepiece(model):
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
        return partial(pieces.encode, out_type=str)
    with model.open(encoding="utf-8") as stream:
        bpe = BPE(stream)

    def units(line: str) -> list[str]:
        if len(bpe.cache) > _CACHED_WORDS:
            bpe.cache.clear()
        return bpe.segment_tokens(line.split())

    return units
