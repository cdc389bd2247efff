"""From lines of text to a model's tokens, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onmt.constants import DefaultTokens
from onmt.transforms import TransformPipe, get_transforms_cls
from onmt.transforms.tokenize import BPETransform, SentencePieceTransform
from onmt.utils.parse import ArgumentParser

from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.opennmt.checkpoint.contents import FILE_OPTIONS, embedded_files
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder
from onmt_lattice.opennmt.data.corpora import is_autoencoder
from onmt_lattice.opennmt.data.transforms import SIDES, make_transforms
from onmt_lattice.opennmt.model.autoencoder import SPECIAL
from onmt_lattice.text import aligned, no_sentence, read_lines, word_count

FILTER = "filtertoolong"  # it drops lines, but evaluation scores every line


@dataclass(frozen=True)
class Sentence:
    """A sentence ready for the model.

    Attributes:
        index: line number from 0, which determines the dither.
        tokens: the line after the model's transforms.
        ids: their indices in the vocabulary.
        words: number of words in the line, the pieces of each joined.
        target: the decoder's target, if that is another sentence.
    """

    index: int
    tokens: list[str]
    ids: list[int]
    words: int
    target: Sentence | None = None

    @property
    def reference(self) -> Sentence:
        """The target, which for an autoencoder is the sentence itself."""
        return self if self.target is None else self.target


class TokenIndex(dict[str, int]):
    """Maps tokens to their indices in a vocabulary, and other tokens to that of the unknown token.

    A word that is written like a special token is unknown, as in training.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        super().__init__((t, i) for i, t in enumerate(tokens) if t not in SPECIAL)
        self._unknown = tokens.index(DefaultTokens.UNK)

    def __missing__(self, token: str) -> int:
        return self._unknown


def token_index(loaded: LoadedAutoencoder, side: str = "src") -> TokenIndex:
    """Return the index of the tokens of a side, which an autoencoder's sides share."""
    return TokenIndex(loaded.fields[side].base_field.vocab.itos)


def check_targets(loaded: LoadedAutoencoder, has_targets: bool, name: str) -> None:
    """Refuse targets for an autoencoder, and no targets for another model."""
    if has_targets and is_autoencoder(loaded.opt.data):
        raise UserError(f"{name}: the model is an autoencoder, whose target is its source; omit it")
    if not (has_targets or is_autoencoder(loaded.opt.data)):
        raise UserError(
            f"{name}: expected a target for each line, as the model was trained on targets that "
            f"differ from their sources"
        )


def transform_names(loaded: LoadedAutoencoder) -> list[str]:
    """Return the names of the model's transforms, in order."""
    corpus = loaded.opt.data.get("valid") or next(iter(loaded.opt.data.values()))
    return [name for name in corpus["transforms"] if name != FILTER]


def trained_transforms(loaded: LoadedAutoencoder) -> TransformPipe:
    """Return the model's transforms."""
    names = transform_names(loaded)
    with error_prefix(f"the model was trained with transforms {names}"):
        built = make_transforms(loaded.opt, get_transforms_cls(names), loaded.fields)
    return TransformPipe.build_from([built[name] for name in names])


def read_sentences(
    lines: Sequence[str],
    pipe: TransformPipe,
    index: Mapping[str, int],
    first: int = 0,
    side: str = "src",
) -> list[Sentence]:
    """Return the sentences of ``lines``, the first with line number ``first``.

    A line is skipped if the transforms ``pipe`` leave nothing of it.
    """
    sentences = []
    for number, line in enumerate(lines, first):
        if tokens := segmented(line.split(), pipe, side):
            sentences.append(Sentence(number, tokens, [index[t] for t in tokens], word_count(line)))
    return sentences


def read_pairs(
    loaded: LoadedAutoencoder, pipe: TransformPipe, lines: list[str], targets: list[str] | None
) -> list[Sentence]:
    """Return the sentences of ``lines``, each with its target if there are ``targets``.

    A pair is skipped if one of its lines is empty.
    """
    sources = read_sentences(lines, pipe, token_index(loaded))
    if targets is None:
        return sources
    sentences = read_sentences(targets, pipe, token_index(loaded, "tgt"), side="tgt")
    by_line = {sentence.index: sentence for sentence in sentences}
    return [replace(s, target=by_line[s.index]) for s in sources if s.index in by_line]


class EvaluationText:
    """A text that checkpoints are evaluated on, read once.

    Successive models with the same segmentation and vocabulary share its sentences.

    Attributes:
        path: of the file.
        lines: of the text.
        targets: lines of its target, or None for an autoencoder.
        references: the lines of the target, an autoencoder's own.
    """

    def __init__(self, path: str, target: str | None = None) -> None:
        self.path, self.lines = path, read_lines(path)
        self.targets: list[str] | None = None
        if target not in (None, path):
            self.targets = read_lines(target, "-tgt")
            for _ in aligned(self.lines, self.targets, (f"-src {path}", f"-tgt {target}")):
                pass
        self.references = self.lines if self.targets is None else self.targets
        self._cached: tuple[object, list[Sentence]] = None, []

    def sentences(self, loaded: LoadedAutoencoder, pipe: TransformPipe) -> list[Sentence]:
        """Return the sentences of a model; see :func:`read_sentences`."""
        key = _segmentation(loaded)
        if self._cached[0] != key:
            self._cached = key, read_pairs(loaded, pipe, self.lines, self.targets)
        if not self._cached[1]:
            raise no_sentence(self.path)
        return self._cached[1]


def _segmentation(loaded: LoadedAutoencoder) -> object:
    """Return everything that a model's tokens and their indices depend on."""
    names, opt, parser = transform_names(loaded), loaded.opt, ArgumentParser()
    for transform in get_transforms_cls(names).values():
        transform.add_options(parser)
    options = [action.dest for action in parser._actions if action.dest not in FILE_OPTIONS]
    files = {name: content.tolist() for name, content in embedded_files(opt).items()}
    values = {name: getattr(opt, name, None) for name in options}
    vocabularies = [loaded.fields[side].base_field.vocab.itos for side in SIDES]
    return names, values, files, vocabularies


def segmented(words: list[str], pipe: TransformPipe, side: str = "src") -> list[str]:
    """Return the tokens that ``pipe`` makes of the ``words`` of a line, or none."""
    return segmented_pair(words, words, pipe)[side == "tgt"]


def segmented_pair(
    source: list[str], target: list[str], pipe: TransformPipe
) -> tuple[list[str], list[str]]:
    """Return the tokens that ``pipe`` makes of the words of two lines, or none."""
    if not (source and target):
        return [], []
    example: dict[str, Any] = {"src": source, "tgt": list(target)}
    example |= {"src_original": source, "tgt_original": target}
    transformed = pipe.apply(example, is_train=False, corpus_name="valid")
    if transformed is None:
        return [], []
    return [t for t in transformed["src"] if t], [t for t in transformed["tgt"] if t]


def undo(pipe: TransformPipe, line: str) -> str:
    """Return the decoded ``line`` without the segmentation of ``pipe``.

    OpenNMT-py can reverse only its own tokenizer.
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
