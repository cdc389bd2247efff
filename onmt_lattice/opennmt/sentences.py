"""Between lines of text and the tokens that the model sees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onmt.transforms import TransformPipe, get_transforms_cls, make_transforms
from onmt.transforms.tokenize import BPETransform, SentencePieceTransform

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint import LoadedAutoencoder

FILTERS = ("filtertoolong", "filterfeats")  # they drop lines; evaluation scores every line


@dataclass(frozen=True)
class Sentence:
    """A sentence ready for the model.

    Attributes:
        index: its line number from 0, which decides its dither.
        tokens: what the model sees, after the transforms it was trained with.
        words: whitespace words of the line.
    """

    index: int
    tokens: list[str]
    words: int


def transform_names(loaded: LoadedAutoencoder) -> list[str]:
    """Return the names of the transforms that the model's training text went through, in order."""
    corpus = loaded.opt.data.get("valid") or next(iter(loaded.opt.data.values()))
    return [name for name in corpus["transforms"] if name not in FILTERS]


def trained_transforms(loaded: LoadedAutoencoder) -> TransformPipe:
    """Return the transforms that the model's training text went through.

    Raises:
        UserError: if one cannot be built here, such as for a subword model that was moved.
    """
    names = transform_names(loaded)
    try:
        built = make_transforms(loaded.opt, get_transforms_cls(names), loaded.fields)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the model was trained with transforms {names}, which cannot be built: {error}"
        ) from error
    return TransformPipe.build_from([built[name] for name in names])


def read_sentences(lines: Sequence[str], pipe: TransformPipe, first: int = 0) -> list[Sentence]:
    """Return the sentences of the ``lines`` that are not empty, with their line numbers.

    Args:
        lines: of the text, some that follow one another.
        pipe: the transforms of the model.
        first: line number of the first of them.

    Raises:
        UserError: if the transforms of ``pipe`` leave nothing of a line.
    """
    sentences = []
    for index, line in enumerate(lines, first):
        words = line.split()
        if not words:
            continue
        tokens = segmented(words, pipe)
        if not tokens:
            raise UserError(f"line {index + 1}: nothing is left of it after the transforms")
        sentences.append(Sentence(index, tokens, len(words)))
    return sentences


def segmented(words: list[str], pipe: TransformPipe) -> list[str]:
    """Return the tokens that ``pipe`` makes of the ``words`` of a line, if it leaves any."""
    example: dict[str, Any] = {"src": words, "tgt": list(words)}
    example["src_original"] = example["tgt_original"] = words
    transformed = pipe.apply(example, is_train=False, corpus_name="valid")
    return [] if transformed is None else transformed["src"]


def undo(pipe: TransformPipe, line: str) -> str:
    """Return ``line``, as decoded, with the segmentation of ``pipe`` undone.

    OpenNMT-py has the reverse of its own tokenizer only.
    """
    text, tab, score = line.partition("\t")
    for transform in reversed(pipe.transforms):
        if isinstance(transform, SentencePieceTransform):
            text = " ".join(transform.load_models["tgt"].decode(text.split()).split())
        elif isinstance(transform, BPETransform):
            text = re.sub(r"@@( |$)", "", text)
        else:
            text = transform.apply_reverse(text)
    return text + tab + score
