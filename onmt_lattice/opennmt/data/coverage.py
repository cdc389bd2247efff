"""How much of a text a vocabulary covers: too little, and a model would learn the unknown token."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Container, Iterable
from itertools import chain, islice
from typing import Any

from onmt.constants import CorpusName
from onmt.transforms import TransformPipe
from onmt.utils.logging import logger

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.data.sentences import TokenIndex, segmented
from onmt_lattice.opennmt.data.transforms import make_transforms
from onmt_lattice.text import is_sentence, lines_of

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

    Raises:
        UserError: if more than ``FOREIGN_SHARE`` of the tokens are unknown.
    """
    known = [token in vocabulary for sentence in sentences for token in sentence]
    unknown = known.count(False)
    said = f"{text}: {unknown} of {len(known)} tokens are not in the model's vocabulary"
    if unknown > FOREIGN_SHARE * len(known):
        raise UserError(f"{said}; expected {expected}")
    if unknown > NOTED_SHARE * len(known):
        logger.warning("%s", said)


def check_corpora(opt: Namespace, fields: dict[str, Any], transforms: dict[str, type]) -> None:
    """Check that transforms leave sentences of each corpus, and the coverage of the first bucket.

    Raises:
        UserError: if they leave none, or of a training corpus as :func:`check_coverage`.
    """
    made = make_transforms(opt, transforms, fields)
    vocabulary = TokenIndex(fields["src"].base_field.vocab.itos)
    for name, corpus in opt.data.items():
        option, path = f"data.{name}.path_src", corpus["path_src"]
        pipe = TransformPipe.build_from([made[name] for name in corpus["transforms"]])
        lines = filter(is_sentence, lines_of(path, option, longest=None))
        left = (tokens for line in lines if (tokens := segmented(line.split(), pipe)))
        first = next(left, None)
        if first is None:
            raise UserError(
                f"{option} {path}: the transforms {', '.join(corpus['transforms'])} leave no "
                f"sentence of it; expected some, so change them or their options"
            )
        if name != CorpusName.VALID:
            check_coverage(
                chain([first], islice(left, opt.bucket_size - 1)),
                vocabulary,
                f"{option} {path}",
                f"-src_vocab {opt.src_vocab} to be of this text, as build_vocab makes it",
            )
