"""Pretrained word vectors, as the initial embeddings of a training."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Container
from pathlib import Path
from typing import Any

import onmt.modules.embeddings
import torch
from onmt.modules.embeddings import prepare_pretrained_embeddings

from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output
from onmt_lattice.text import lines_of

# Options that name a file of words and their vectors, and the side of the embeddings.
TEXTS = {"both_embeddings": "src", "src_embeddings": "src", "tgt_embeddings": "tgt"}
# Options that name a file with a tensor of embeddings, which OpenNMT-py writes from the former.
TENSORS = {"pre_word_vecs_enc": "src", "pre_word_vecs_dec": "tgt"}


def prepare_embeddings(opt: Namespace, fields: dict[str, Any]) -> None:
    """Make embeddings from the word vectors that ``opt`` names, as OpenNMT-py does."""
    options = {getattr(opt, name): name for name in TEXTS if getattr(opt, name)}

    def read(
        path: str, skip_lines: int, filter_set: Container[str]
    ) -> tuple[dict[str, list[float]], int]:
        option = options[path]
        size = getattr(opt, f"{TEXTS[option]}_word_vec_size")
        return read_vectors(path, f"-{option}", size, skip_lines, filter_set)

    if options:
        check_output(f"{opt.save_data}.enc_embeddings.pt", "-save_data")
        Path(opt.save_data).parent.mkdir(parents=True, exist_ok=True)
    onmt.modules.embeddings.read_embeddings = read
    try:
        prepare_pretrained_embeddings(opt, fields)
    finally:
        onmt.modules.embeddings.read_embeddings = _stock_read
    for name, side in TENSORS.items():
        if path := getattr(opt, name):
            size = getattr(opt, f"{side}_word_vec_size")
            check_tensor(path, f"-{name}", (len(fields[side].base_field.vocab), size))


_stock_read = onmt.modules.embeddings.read_embeddings


def read_vectors(
    path: str, option: str, size: int, skip_lines: int, words: Container[str]
) -> tuple[dict[str, list[float]], int]:
    """Return the vectors of ``words`` in a text file, and the number of vectors in the file.

    The last ``size`` fields of a line are the vector, as a word may have spaces in it, in GloVe for
    instance. A first line of two fields is the header of word2vec.
    """
    vectors: dict[str, list[float]] = {}
    total = 0
    for number, line in enumerate(lines_of(path, option, longest=None), 1):
        fields = line.rstrip(" \r").split(" ")
        if number <= skip_lines or fields == [""] or (number == 1 and len(fields) == 2):
            continue
        total += 1
        if total == 1 and len(fields) != size + 1 and all(map(_is_number, fields[1:])):
            raise UserError(
                f"{option} {path}: its word vectors are of {len(fields) - 1} numbers, the "
                f"embeddings of {size}; expected -word_vec_size {len(fields) - 1}"
            )
        word = " ".join(fields[:-size])
        try:
            vector = [float(field) for field in fields[-size:]] if word in words else []
        except ValueError:
            vector = [math.nan]
        if len(fields) <= size or not all(map(math.isfinite, vector)):
            raise UserError(
                f"{option} {path}: line {number}, of {fields[0]!r}, is not a word and its "
                f"{size} numbers, as many as the embeddings have"
            )
        if vector:
            vectors[word] = vector
    if not vectors:
        raise UserError(
            f"{option} {path}: none of its {total} words is in the vocabulary; expected word "
            f"vectors of the text's language, written as its words are"
        )
    return vectors, total


def _is_number(field: str) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False


def check_tensor(path: str, option: str, shape: tuple[int, int]) -> None:
    """Refuse a file without embeddings of this ``shape``."""
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch fails in any way on bytes of other programs
        raise UserError(f"{option} {path}: cannot be read as a tensor of torch's") from error
    if not isinstance(value, torch.Tensor) or value.shape != shape:
        content = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise UserError(
            f"{option} {path}: holds {content}; expected a tensor of {shape}, a row for each token "
            f"of the vocabulary"
        )
