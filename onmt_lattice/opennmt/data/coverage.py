"""The coverage of texts by a vocabulary; with too little, a model learns the unknown token."""

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

REFUSED_SHARE = 0.5  # share of unknown tokens above which a text is refused
WARNING_SHARE = 0.1  # share of unknown tokens above which a warning is logged


def check_coverage(
    sentences: Iterable[Iterable[str]], vocabulary: Container[str], text: str, expected: str
) -> None:
    """Refuse a text if most tokens are not in ``vocabulary``; warn if many are not."""
    known = [token in vocabulary for sentence in sentences for token in sentence]
    unknown = known.count(False)
    message = f"{text}: {unknown} of {len(known)} tokens are not in the model's vocabulary"
    if unknown > REFUSED_SHARE * len(known):
        raise UserError(f"{message}; expected {expected}")
    if unknown > WARNING_SHARE * len(known):
        logger.warning("%s", message)


def check_corpora(opt: Namespace, fields: dict[str, Any], transforms: dict[str, type]) -> None:
    """Check that transforms leave sentences of each corpus, and the first bucket's coverage."""
    built = make_transforms(opt, transforms, fields)
    vocabularies = dict.fromkeys(SIDES, f"-src_vocab {opt.src_vocab}")
    if not opt.share_vocab:
        vocabularies["tgt"] = f"-tgt_vocab {opt.tgt_vocab}"
    for name, corpus in opt.data.items():
        path, target = corpus["path_src"], corpus["path_tgt"]
        pipe = TransformPipe.build_from([built[name] for name in corpus["transforms"]])
        pairs = (
            map(str.split, p) for p in line_pairs(name, path, target) if all(map(is_sentence, p))
        )
        segmented = (t for s, target in pairs if all(t := segmented_pair(s, target, pipe)))
        first = next(segmented, None)
        if first is None:
            raise UserError(
                f"data.{name}.path_src {path}: the transforms {', '.join(corpus['transforms'])} "
                f"leave no sentence of it; change them or their options"
            )
        if name == CorpusName.VALID:
            continue
        bucket = [first, *islice(segmented, opt.bucket_size - 1)]
        for index, side in enumerate(sides(corpus)):
            check_coverage(
                (pair[index] for pair in bucket),
                TokenIndex(fields[side].base_field.vocab.itos),
                f"data.{name}.path_{side} {corpus[f'path_{side}']}",
                f"{vocabularies[side]} to be of this text, as build_vocab makes it",
            )
