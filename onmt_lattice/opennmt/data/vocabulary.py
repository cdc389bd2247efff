"""Vocabulary files, as ``build_vocab`` writes them, and the coverage of texts by a vocabulary.

A line is a token, a tab and its count. With too little coverage, a model learns the unknown token.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Container, Iterable
from itertools import islice
from typing import Any

from onmt.constants import CorpusName
from onmt.inputters.fields import build_dynamic_fields
from onmt.transforms import TransformPipe
from onmt.utils.logging import logger

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.data.corpora import line_pairs, sides
from onmt_lattice.opennmt.data.sentences import TokenIndex, segmented_pair
from onmt_lattice.opennmt.data.transforms import SIDES, make_transforms
from onmt_lattice.text import is_sentence, lines_of

REFUSED_SHARE = 0.5  # share of unknown tokens above which a text is refused
WARNING_SHARE = 0.1  # share of unknown tokens above which a warning is logged
MAX_DIGITS = 18  # of a count
_CURE = "expected '<token>\\t<count>' or '<token>' a line, as 'onmt_lattice build_vocab' writes it"


def read_vocabulary(path: str, side: str = "src") -> tuple[list[list[str]] | list[str], bool]:
    """Return the tokens of a vocabulary, with their counts if the file has any, and whether it has.

    Replaces OpenNMT-py's ``_read_vocab_file``.
    """
    option = f"-{side}_vocab"
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(lines_of(path, option), 1):
        row = line.split(None, 1)
        if not row:
            continue
        row = [word.strip() for word in row]
        counted = len(next(iter(rows.values()), row)) == 2
        if len(row) != 1 + counted or not (len(row) == 1 or _is_count(row[1])):
            raise UserError(f"{option} {path}: line {number} is {line.strip()[:60]!r}; {_CURE}")
        if row[0] in rows:
            raise UserError(f"{option} {path}: line {number} repeats {row[0]!r}; {_CURE}")
        rows[row[0]] = row
    if not rows:
        raise UserError(f"{option} {path}: no token in it; {_CURE}")
    if len(next(iter(rows.values()))) == 2:
        return list(rows.values()), True
    return list(rows), False


def warn_of_changed_vocabulary(opt: Namespace, fields: dict[str, Any]) -> None:
    """Warn if the vocabularies of ``opt`` are not those of a resumed checkpoint's ``fields``."""
    logger.disabled = True  # it would log the vocabulary, which is not used
    try:
        built = build_dynamic_fields(opt)
    finally:
        logger.disabled = False
    for side in ("src",) if opt.share_vocab else ("src", "tgt"):
        new, old = (f[side].base_field.vocab.itos for f in (built, fields))
        if new != old:
            logger.warning(
                "-%s_vocab %s: its %d tokens are not those of the checkpoint, whose %d stay; "
                "-update_vocab takes the new ones",
                *(side, getattr(opt, f"{side}_vocab"), len(new), len(old)),
            )


def _is_count(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= MAX_DIGITS


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
