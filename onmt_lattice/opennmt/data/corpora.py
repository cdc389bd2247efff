"""The corpora that ``-data`` names, checked and read; an autoencoder's target is its source.

What training, validation and build_vocab make of a line is the same: transforms, and behind them
:class:`Sentences`.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from onmt.constants import CorpusName, DefaultTokens
from onmt.inputters.corpus import ParallelCorpus, ParallelCorpusIterator
from onmt.transforms import AVAILABLE_TRANSFORMS, Transform, TransformPipe
from onmt.utils.logging import logger

from onmt_lattice.config import Range
from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.opennmt.model.autoencoder import SPECIAL
from onmt_lattice.opennmt.options.parsing import YAML_ERRORS
from onmt_lattice.text import LONGEST_LINE, is_sentence, lines_of, no_sentence

# OpenNMT-py knows more: prefixes would make target and source differ, features and alignments are
# no part of the text.
CORPUS_KEYS = frozenset("path_src path_tgt transforms weight".split())
WEIGHTS = Range(1, 10_000)  # lines of a corpus in a row, which are listed
OF_OTHER_KEYS = frozenset("prefix filterfeats inferfeats".split())  # transforms that need them
NOISE = frozenset("bart switchout tokendrop tokenmask".split())  # transforms at random

# Options of subword segmentation, each for both sides, with OpenNMT-py's defaults.
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
    """Return what ``-data`` says of each corpus, transforms and weight filled in.

    Raises:
        UserError: naming the corpus and key that is wrong.
    """
    try:
        corpora = yaml.safe_load(opt.data)
    except YAML_ERRORS as error:
        raise UserError(f"-data {opt.data[:200]!r}: not valid YAML: {error}") from error
    if not isinstance(corpora, dict):
        raise UserError(f"-data: expected corpora as 'name: {{path_src: FILE}}', got {opt.data!r}")
    if not set(corpora) - {CorpusName.VALID}:
        raise UserError(f"-data: expected a training corpus beside {CorpusName.VALID!r}")
    for name, corpus in corpora.items():
        if not isinstance(name, str):
            raise UserError(
                f"data: a corpus is named {name!r}, which YAML makes of such a word; expected a "
                f"text, so put the name in quotes"
            )
        if not isinstance(corpus, dict):
            raise UserError(f"data.{name}: expected 'path_src: FILE', got {corpus!r}")
        for key in corpus:
            if key not in CORPUS_KEYS:
                raise unknown_name(f"key of data.{name}", str(key), CORPUS_KEYS)
        corpus.setdefault("transforms", opt.transforms)
        corpus.setdefault("weight", 1)
        _check_corpus(name, corpus)
    return corpora


def _check_corpus(name: str, corpus: dict[str, Any]) -> None:
    source, transforms, weight = (corpus.get(k) for k in ("path_src", "transforms", "weight"))
    if not isinstance(source, str):
        raise UserError(f"data.{name}.path_src {source!r}: expected the path of a text")
    if not os.path.isfile(source):
        raise UserError(f"data.{name}.path_src {source}: no such file")
    if corpus.get("path_tgt", source) != source:
        raise UserError(
            f"data.{name}.path_tgt {corpus['path_tgt']}: an autoencoder's target is its source, "
            f"{source}; leave path_tgt out"
        )
    if type(weight) is not int or weight not in WEIGHTS:
        raise UserError(f"data.{name}.weight {weight!r}: expected an integer, {WEIGHTS}")
    if not isinstance(transforms, list):
        raise UserError(f"data.{name}.transforms {transforms!r}: expected a list of names")
    for transform in transforms:
        known = set(AVAILABLE_TRANSFORMS) - OF_OTHER_KEYS
        if not isinstance(transform, str) or transform not in known:
            raise unknown_name("transform", str(transform), known)


def target_is_source(opt: Namespace) -> None:
    """Let every corpus' target be its source; refuse any other, and a vocabulary of its own.

    What transforms do at random they do to both alike, see :class:`Sentences`.

    Raises:
        UserError: if a corpus is not as expected, or an option is for one side alone.
    """
    corpora = read_corpora(opt)
    for corpus in corpora.values():
        corpus["path_tgt"] = corpus["path_src"]
    for side in ("src", "tgt"):
        if (cut := getattr(opt, f"{side}_seq_length_trunc", None)) is not None:
            raise UserError(
                f"-{side}_seq_length_trunc {cut}: expected none, as NLL and rate are those of "
                f"whole sentences; the transform filtertoolong with -src_seq_length {cut} skips "
                f"longer ones"
            )
    for name, default in SEGMENTATION.items():
        given, source = getattr(opt, f"tgt_{name}"), getattr(opt, f"src_{name}")
        if given not in (default, source):
            raise UserError(
                f"-tgt_{name} {given}: an autoencoder's target is segmented as its source, "
                f"-src_{name} {source}; leave it out"
            )
        setattr(opt, f"tgt_{name}", source)
    if opt.src_subword_nbest > 1 or opt.src_subword_alpha > 0:
        raise UserError(
            f"-src_subword_nbest {opt.src_subword_nbest}, -src_subword_alpha "
            f"{opt.src_subword_alpha}: expected 1 and 0, as sampling would segment a sentence and "
            f"its reconstruction apart"
        )
    for corpus in corpora.values():
        if {"bpe", "sentencepiece"} & set(corpus["transforms"]) and not opt.src_subword_model:
            raise UserError(f"-src_subword_model: expected one for {corpus['transforms']}")
    for name in ("src_subword_model", "src_subword_vocab"):
        if getattr(opt, name) and not os.path.isfile(getattr(opt, name)):
            raise UserError(f"-{name} {getattr(opt, name)}: no such file")
    opt.data = yaml.safe_dump(corpora, sort_keys=False)
    opt.transforms = []  # each corpus has its own now; OpenNMT-py fails on some of them here
    if not opt.share_vocab or opt.tgt_vocab not in (None, opt.src_vocab):
        raise UserError(
            f"-share_vocab {opt.share_vocab}, -tgt_vocab {opt.tgt_vocab}: an autoencoder has one "
            f"vocabulary, -src_vocab; leave both out"
        )
    opt.tgt_vocab = None


def check_texts(corpora: Mapping[str, Mapping[str, Any]]) -> None:
    """Read every corpus once; warn of lines that are too long for a sentence, and log noise.

    Raises:
        UserError: if one is no text, or there is no sentence in it.
    """
    for name, corpus in corpora.items():
        path, option = corpus["path_src"], f"data.{name}.path_src"
        sentences, longer = 0, []
        for number, line in enumerate(lines_of(path, option, longest=None), 1):
            if is_sentence(line):
                sentences += 1
            elif len(line) > LONGEST_LINE:
                longer.append(number)
        if not sentences:
            raise no_sentence(path, option)
        if noise := sorted(NOISE & set(corpus["transforms"])):
            logger.info(
                "data.%s: %s changes source and target alike, as an autoencoder's target is its "
                "source",
                *(name, ", ".join(noise)),
            )
        if longer:
            logger.warning(
                "%s %s: %d lines are skipped, the first is line %d: they have more than %d "
                "characters, which is no sentence",
                *(option, path, len(longer), longer[0], LONGEST_LINE),
            )


def skip_empty(level: str, corpus: str, number: int) -> None:
    """Skip an empty line, as ``-skip_empty_level`` has it.

    Args:
        level: ``silent``, ``warning`` or ``error``.
        corpus: the name of the text.
        number: of the line, from 0.

    Raises:
        UserError: if the level is ``error``.
    """
    if level == "error":
        raise UserError(
            f"data.{corpus}.path_src: line {number + 1} is empty, or nothing is left of it after "
            f"the transforms; -skip_empty_level warning skips such lines"
        )
    if level == "warning":
        logger.warning("Empty line skipped: line %d of %s", number + 1, corpus)


class Sentences(Transform):
    """The last transform of every corpus, which makes sentences of words.

    A line of which the transforms before leave nothing is an empty one. A word that is written like
    a special token of the vocabulary is an unknown word. Where the target is the source it is so
    with all that transforms have done to it, at random too.

    Args:
        corpus: the name of the text.
        level: what becomes of empty lines, see :func:`skip_empty`.
        target_is_source: whether the text is its own target.
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
    """OpenNMT-py's iterator over the examples of a corpus, whose transforms end in Sentences."""

    def __init__(self, corpus: ParallelCorpus, transform: TransformPipe, *args: Any, **kw: Any):
        super().__init__(corpus, transform, *args, **kw)
        last = Sentences(self.cid, self.skip_empty_level, corpus.src == corpus.tgt)
        self.transform = TransformPipe.build_from([*transform.transforms, last])

    def _add_index(self, stream: Iterable[Any]) -> Iterator[Any]:
        for place, item in enumerate(stream):
            number = place * self.stride + self.offset
            if item[0]["src"] and item[0]["tgt"]:
                item[0]["indices"] = number
                yield item
            else:
                skip_empty(self.skip_empty_level, self.cid, number)


class TextCorpus(ParallelCorpus):
    """A text that is its own target, read as all commands read one; lines too long are empty."""

    def load(self, offset: int = 0, stride: int = 1) -> Iterator[dict[str, str]]:
        """Yield every ``stride``-th line from ``offset`` on, in OpenNMT-py's form."""
        lines = lines_of(self.src, f"data.{self.id}.path_src", longest=None)
        for number, line in enumerate(lines):
            if number % stride == offset:
                text = line if len(line) <= LONGEST_LINE else ""
                yield dict.fromkeys(("src", "tgt", "src_original", "tgt_original"), text)
