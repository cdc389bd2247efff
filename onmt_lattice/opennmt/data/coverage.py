"""How much of a text a vocabulary covers: too little, and a model would learn the unknown token."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Container, Iterable
from itertools import islice
from typing import Any

from onmt.constants import CorpusName
from onmt.transforms import TransformPipe
from onmt.utils.logging import logger

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.data.corpora import line_pairs, sides
from onmt_lattice.opennmt.data.sentences import TokenIndex, segmented_pair
from onmt_lattice.opennmt.data.transforms import SIDES, make_transforms
from onmt_lattice.text import is_sentence

FOREIGN_SHARE = 0.5  # of the tokens unknown, above which a text is refused
NOTED_SHARE = 0.1  # of the tokens unknown, above which it is told


def check_coverage(
    sentences: Iterable[Iterable[str]], vocabulary: Container[str], text: str, expected: str
) -> None:
    """Refuse a text most of whose tokens are not in ``vocabulary``, and warn where many are not.

    Args:
        sentences: the tokens of each, end of sentence left out.
        vocabulary: the tokens that are known.
        text: what messages call the text.
        expected: what it, or the vocabulary, should have been.
    """
    known = [token in vocabulary for sentence in sentences for token in sentence]
    unknown = known.count(False)
    said = f"{text}: {unknown} of {len(known)} tokens are not in the model's vocabulary"
    if unknown > FOREIGN_SHARE * len(known):
        raise UserError(f"{said}; expected {expected}")
    if unknown > NOTED_SHARE * len(known):
        logger.warning("%s", said)


def check_corpora(opt: Namespace, fields: dict[str, Any], transforms: dict[str, type]) -> None:
    """Check that transforms leave sentences of each corpus, and the first bucket's coverage."""
    made = make_transforms(opt, transforms, fields)
    vocabularies = dict.fromkeys(SIDES, f"-src_vocab {opt.src_vocab}")
    if not opt.share_vocab:
        vocabularies["tgt"] = f"-tgt_vocab {opt.tgt_vocab}"
    for name, corpus in opt.data.items():
        path, target = corpus["path_src"], corpus["path_tgt"]
        pipe = TransformPipe.build_from([made[name] for name in corpus["transforms"]])
        pairs = (
            map(str.split, p) for p in line_pairs(name, path, target) if all(map(is_sentence, p))
        )
        left = (t for source, target in pairs if all(t := segmented_pair(source, target, pipe)))
        first = next(left, None)
        if first is None:
            raise UserError(
                f"data.{name}.path_src {path}: the transforms {', '.join(corpus['transforms'])} "
                f"leave no sentence of it; expected some, so change them or their options"
            )
        if name == CorpusName.VALID:
            continue
        bucket = [first, *islice(left, opt.bucket_size - 1)]
        for place, side in enumerate(sides(corpus)):
            check_coverage(
                (pair[place] for pair in bucket),
                TokenIndex(fields[side].base_field.vocab.itos),
                f"data.{name}.path_{side} {corpus[f'path_{side}']}",
                f"{vocabularies[side]} to be of this text, as build_vocab makes it",
            )
