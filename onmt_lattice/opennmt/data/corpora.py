"""The corpora of ``-data``, checked and read.

A corpus without a target is its own target: the model is an autoencoder. Training, validation and
build_vocab read a line in the same way: its transforms, then :class:`SentenceTransform`.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import yaml
from onmt.constants import CorpusName, DefaultTokens
from onmt.inputters.corpus import ParallelCorpus, ParallelCorpusIterator
from onmt.transforms import AVAILABLE_TRANSFORMS, Transform, TransformPipe
from onmt.utils.logging import logger

from onmt_lattice.config import Range
from onmt_lattice.errors import UserError, error_prefix, unknown_name
from onmt_lattice.opennmt.data.transforms import SIDES
from onmt_lattice.opennmt.model.autoencoder import SPECIAL
from onmt_lattice.opennmt.options.parsing import YAML_ERRORS
from onmt_lattice.text import LONGEST_LINE, aligned, is_sentence, lines_of, no_sentence

# OpenNMT-py's keys for prefixes, features and alignments are refused: the text has none.
CORPUS_KEYS = frozenset("path_src path_tgt transforms weight".split())
REFUSED_TRANSFORMS = frozenset("prefix filterfeats inferfeats".split())  # they need such keys
WEIGHTS = Range(1, 10_000)  # OpenNMT-py lists the name of a corpus as often
EXAMPLE_KEYS = ("src", "tgt", "src_original", "tgt_original")
NOISE = frozenset("bart switchout tokendrop tokenmask".split())  # random transforms

# Options of subword segmentation, for each side, with OpenNMT-py's defaults.
SEGMENTATION: dict[str, Any] = {
    "subword_model": None,
    "subword_vocab": "",
    "vocab_threshold": 0,
    "subword_nbest": 1,
    "subword_alpha": 0,
    "subword_type": "none",
    "onmttok_kwargs": "{'mode': 'none'}",
}


def read_corpora(opt: Namespace) -> dict[str, dict[str, Any]]:
    """Return the settings of each corpus in ``-data``, with their defaults."""
    with error_prefix(f"-data {opt.data[:200]!r}: not valid YAML", YAML_ERRORS):
        corpora = yaml.safe_load(opt.data)
    if not isinstance(corpora, dict):
        raise UserError(f"-data: expected corpora as 'name: {{path_src: FILE}}', got {opt.data!r}")
    if not set(corpora) - {CorpusName.VALID}:
        raise UserError(f"-data: expected a training corpus beside {CorpusName.VALID!r}")
    for name, corpus in corpora.items():
        if not isinstance(name, str):
            raise UserError(
                f"data: a corpus is named {name!r}, as YAML reads it; expected a text: put the "
                f"name in quotes"
            )
        if not isinstance(corpus, dict):
            raise UserError(f"data.{name}: expected 'path_src: FILE', got {corpus!r}")
        for key in corpus:
            if key not in CORPUS_KEYS:
                raise unknown_name(f"key of data.{name}", str(key), CORPUS_KEYS)
        corpus.setdefault("transforms", opt.transforms)
        corpus.setdefault("weight", 1)
        corpus.setdefault("path_tgt", corpus.get("path_src"))
        _check_corpus(name, corpus)
    untargeted = [name for name, corpus in corpora.items() if sides(corpus) != SIDES]
    if 0 < len(untargeted) < len(corpora):
        raise UserError(
            f"data.{untargeted[0]}.path_tgt: expected a target, as other corpora have one; a model "
            f"is an autoencoder of all corpora or of none"
        )
    return corpora


def sides(corpus: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sides of a corpus that are different texts: one or both."""
    return SIDES[: 1 if corpus.get("path_tgt") in (None, corpus.get("path_src")) else 2]


def is_autoencoder(corpora: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the target of every corpus is its source."""
    return all(sides(corpus) != SIDES for corpus in corpora.values())


def line_pairs(
    name: str, source: str, target: str, lines: Iterable[str] | None = None, first: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield pairs of lines of a corpus, its source and its target."""
    options = [f"data.{name}.path_{side}" for side in SIDES]
    if lines is None:
        lines = lines_of(source, options[0], longest=None)
    if source == target:
        yield from ((line, line) for line in lines)
        return
    targets = islice(lines_of(target, options[1], longest=None), first, None)
    yield from aligned(lines, targets, (f"{options[0]} {source}", f"{options[1]} {target}"), first)


def _check_corpus(name: str, corpus: dict[str, Any]) -> None:
    transforms, weight = corpus["transforms"], corpus["weight"]
    for side in SIDES:
        path = corpus.get(f"path_{side}")
        if not isinstance(path, str):
            raise UserError(f"data.{name}.path_{side} {path!r}: expected the path of a text")
        if not os.path.isfile(path):
            raise UserError(f"data.{name}.path_{side} {path}: no such file")
    if type(weight) is not int or weight not in WEIGHTS:
        raise UserError(f"data.{name}.weight {weight!r}: expected an integer, {WEIGHTS}")
    if not isinstance(transforms, list):
        raise UserError(f"data.{name}.transforms {transforms!r}: expected a list of names")
    valid = set(AVAILABLE_TRANSFORMS) - REFUSED_TRANSFORMS
    for transform in transforms:
        if not isinstance(transform, str) or transform not in valid:
            raise unknown_name("transform", str(transform), valid)


def check_data(opt: Namespace) -> None:
    """Check and complete corpora, vocabularies and segmentation of both sides.

    Without ``-tgt_vocab`` source and target share a vocabulary, and then a segmentation.
    """
    corpora = read_corpora(opt)
    own_vocabulary = opt.tgt_vocab not in (None, opt.src_vocab)
    if is_autoencoder(corpora) and (own_vocabulary or not opt.share_vocab):
        raise UserError(
            f"-share_vocab {opt.share_vocab}, -tgt_vocab {opt.tgt_vocab}: an autoencoder has one "
            f"vocabulary, -src_vocab; leave both out"
        )
    if not (own_vocabulary or opt.share_vocab):
        raise UserError(
            f"-share_vocab False, -tgt_vocab {opt.tgt_vocab}: expected the target's own vocabulary"
        )
    opt.share_vocab = not own_vocabulary
    opt.tgt_vocab = opt.tgt_vocab if own_vocabulary else None
    for side in SIDES:
        if (cut := getattr(opt, f"{side}_seq_length_trunc", None)) is not None:
            raise UserError(
                f"-{side}_seq_length_trunc {cut}: expected none, as NLL and rate are those of "
                f"whole sentences; the transform filtertoolong with -src_seq_length {cut} skips "
                f"longer ones"
            )
    for name, default in SEGMENTATION.items():
        target, source = getattr(opt, f"tgt_{name}"), getattr(opt, f"src_{name}")
        if target == default:
            setattr(opt, f"tgt_{name}", source)
        elif target != source and opt.share_vocab:
            raise UserError(
                f"-tgt_{name} {target}: with one vocabulary the target is segmented as its source, "
                f"-src_{name} {source}; leave it out"
            )
    for side in SIDES:
        nbest, alpha = (getattr(opt, f"{side}_subword_{name}") for name in ("nbest", "alpha"))
        if nbest > 1 or alpha > 0:
            raise UserError(
                f"-{side}_subword_nbest {nbest}, -{side}_subword_alpha {alpha}: expected 1 and 0, "
                f"as sampling would segment a sentence differently each time"
            )
    for corpus in corpora.values():
        if {"bpe", "sentencepiece"} & set(corpus["transforms"]) and not opt.src_subword_model:
            raise UserError(f"-src_subword_model: expected one for {corpus['transforms']}")
    for name in (f"{side}_subword_{file}" for side in SIDES for file in ("model", "vocab")):
        if getattr(opt, name) and not os.path.isfile(getattr(opt, name)):
            raise UserError(f"-{name} {getattr(opt, name)}: no such file")
    opt.data = yaml.safe_dump(corpora, sort_keys=False)
    opt.transforms = []  # each corpus has its own now; OpenNMT-py fails on some default ones


def check_texts(corpora: Mapping[str, Mapping[str, Any]]) -> None:
    """Read every corpus once; warn of long lines, which are skipped, and log random transforms."""
    for name, corpus in corpora.items():
        path, option = corpus["path_src"], f"data.{name}.path_src"
        sentences, longer = 0, []
        for number, pair in enumerate(line_pairs(name, path, corpus["path_tgt"]), 1):
            if all(map(is_sentence, pair)):
                sentences += 1
            elif max(map(len, pair)) > LONGEST_LINE:
                longer.append(number)
        if not sentences:
            raise no_sentence(path, option)
        if noise := sorted(NOISE & set(corpus["transforms"])):
            manner = "each by itself" if sides(corpus) == SIDES else "alike, as they are one text"
            logger.info(
                "data.%s: %s changes source and target %s", *(name, ", ".join(noise), manner)
            )
        if longer:
            logger.warning(
                "%s %s: %d lines are skipped, the first is line %d: they have more than %d "
                "characters",
                *(option, path, len(longer), longer[0], LONGEST_LINE),
            )


def skip_empty(level: str, corpus: str, number: int) -> None:
    """Raise or log that line ``number``, from 0, is skipped, as ``-skip_empty_level`` says."""
    if level == "error":
        raise UserError(
            f"data.{corpus}.path_src: line {number + 1} (or its target) is empty or has more than "
            f"{LONGEST_LINE:,} characters, or the transforms leave nothing of it; "
            f"-skip_empty_level warning skips such lines"
        )
    if level == "warning":
        logger.warning("Empty or too long line skipped: line %d of %s", number + 1, corpus)


class SentenceTransform(Transform):
    """The last transform of every corpus: it skips empty lines, and replaces special tokens.

    A line is empty if the transforms before leave nothing of it. A word that is written like a
    special token of the vocabulary becomes the unknown word. An autoencoder's target is its source
    after all transforms, random ones included.
    """

    def __init__(self, corpus: str, level: str, target_is_source: bool) -> None:
        super().__init__(None)
        self.corpus, self.level, self.target_is_source = corpus, level, target_is_source

    def apply(
        self, example: dict[str, Any], is_train: bool = False, stats: Any = None, **_: Any
    ) -> dict[str, Any] | None:
        """Return ``example``, or None for an empty line."""
        if self.target_is_source:
            example["tgt"] = example["src"]
        for side in ("src", "tgt"):
            example[side] = [DefaultTokens.UNK if t in SPECIAL else t for t in example[side] if t]
            if not example[side]:
                skip_empty(self.level, self.corpus, example["indices"])
                return None
        return example


class CorpusIterator(ParallelCorpusIterator):
    """OpenNMT-py's iterator over the examples of a corpus, with our last transform."""

    def __init__(self, corpus: ParallelCorpus, transform: TransformPipe, *args: Any, **kw: Any):
        super().__init__(corpus, transform, *args, **kw)
        last = SentenceTransform(self.cid, self.skip_empty_level, corpus.src == corpus.tgt)
        self.transform = TransformPipe.build_from([*transform.transforms, last])

    def _add_index(self, stream: Iterable[Any]) -> Iterator[Any]:
        for count, item in enumerate(stream):
            number = count * self.stride + self.offset
            if item[0]["src"] and item[0]["tgt"]:
                item[0]["indices"] = number
                yield item
            else:
                skip_empty(self.skip_empty_level, self.cid, number)


class TextCorpus(ParallelCorpus):
    """Source and target, read as all commands read a text; a line that is too long is empty."""

    def load(self, offset: int = 0, stride: int = 1) -> Iterator[dict[str, str]]:
        """Yield every ``stride``-th line from ``offset`` on, in OpenNMT-py's form."""
        for number, pair in enumerate(line_pairs(self.id, self.src, self.tgt)):
            if number % stride == offset:
                source, target = (line if len(line) <= LONGEST_LINE else "" for line in pair)
                yield dict(zip(EXAMPLE_KEYS, (source, target, source, target), strict=True))
