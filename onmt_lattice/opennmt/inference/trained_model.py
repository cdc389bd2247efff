"""A trained model for Python programs: vectors, text, bytes and scores of sentences."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onmt_lattice.bitstream.arrays import Rows
from onmt_lattice.bitstream.file import FileReader, Mode
from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder
from onmt_lattice.opennmt.data.sentences import check_targets, read_pairs, trained_transforms
from onmt_lattice.opennmt.inference.lossless_text import LosslessText
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.inference.text_codec import TextCodec
from onmt_lattice.opennmt.inference.vectors import POINTS, QUANTIZED, SentenceVectors
from onmt_lattice.opennmt.options.commands import DecodingOptions
from onmt_lattice.opennmt.training import plugin


class Scores(NamedTuple):
    """The costs of sentences, NaN for those without words.

    Attributes:
        rate_bits: ``(N,)`` float64, of the representations.
        nll_bits: ``(N,)`` float64, the decoder's negative log-likelihood of the targets.
    """

    rate_bits: npt.NDArray[np.float64]
    nll_bits: npt.NDArray[np.float64]


class TrainedModel:
    """A trained model, ready to use; :func:`onmt_lattice.load` makes one.

    A sentence is a line of words, segmented as the training text. One without words has a row of
    NaN, or of the least int64 in points, and comes back empty. The ``seed`` and the index of a
    sentence in its list determine its dither. Threads may share a model; they take turns to decode
    or score, as a decoder has one state.

    Raises:
        UserError: if the checkpoint cannot be used. All methods raise it for wrong arguments.
    """

    def __init__(self, path: str | os.PathLike[str], batch_size: int = 64, gpu: int = -1) -> None:
        DecodingOptions(batch_size=batch_size, gpu=gpu)
        plugin.install()
        self._loaded = load_autoencoder(path, gpu)
        self._decoding = threading.RLock()
        self._batch_size = batch_size

    def encode(self, sentences: Sequence[str], points: bool = False, seed: int = 0) -> Rows:
        """Return ``(N, m)`` float32, the outputs of the bottleneck.

        With ``points`` return int64: the coordinates of lattice points, or the entries that
        straight-through quantizers chose.
        """
        return self._vectors(points, seed).encode(_listed(sentences))

    def decode(
        self, vectors: npt.ArrayLike, beam_size: int = 1, max_length: int = 100, seed: int = 0
    ) -> list[str]:
        """Return the sentences of ``vectors``, rows as :meth:`encode` returns them."""
        DecodingOptions(beam_size=beam_size, max_length=max_length)
        with error_prefix("vectors that are no array, expected rows of one width", ValueError):
            rows = np.asarray(vectors)
        points = rows.dtype.kind == "i"
        with self._decoding:
            return self._vectors(points, seed).decode(rows, 0, beam_size, max_length)

    def compress(self, sentences: Sequence[str], lossless: bool = False, seed: int = 0) -> bytes:
        """Return the sentences' representations as bytes, with ``lossless`` their words as well."""
        DecodingOptions(seed=seed)
        lines = _listed(sentences)
        if not lossless:
            return self._codec.compress(lines, seed)
        with self._decoding:
            return self._lossless.compress("".join(f"{line}\n" for line in lines).encode(), seed)

    def decompress(self, data: bytes, beam_size: int = 1, max_length: int = 100) -> list[str]:
        """Return the sentences of the bytes ``data``, the originals if these are lossless.

        Raises:
            BitstreamError: if ``data`` is not complete and unaltered, and of this model.
        """
        DecodingOptions(beam_size=beam_size, max_length=max_length)
        with self._decoding:
            if FileReader(data).header.mode != Mode.LOSSLESS:
                return self._codec.decompress(data, beam_size, max_length)
            text = self._lossless.decompress(data)
        with error_prefix("not UTF-8; 'onmt_lattice decompress' writes its bytes", ValueError):
            return text.decode().removesuffix("\n").split("\n") if text else []

    def score(
        self, sentences: Sequence[str], targets: Sequence[str] | None = None, seed: int = 0
    ) -> Scores:
        """Return the rate of each sentence, and the NLL of its target, an autoencoder's itself."""
        DecodingOptions(seed=seed)
        lines, target_lines = _listed(sentences), None if targets is None else _listed(targets)
        check_targets(self._loaded, target_lines is not None, "targets")
        if target_lines is not None and len(target_lines) != len(lines):
            raise UserError(
                f"{len(target_lines)} targets: expected one for each of {len(lines)} sentences"
            )
        pairs = read_pairs(self._loaded, trained_transforms(self._loaded), lines, target_lines)
        rate, nll = np.full((2, len(lines)), np.nan)
        if pairs:
            with self._decoding:
                scores = Scorer(self._loaded, seed, self._batch_size).score(pairs)
            indices = [sentence.index for sentence in pairs]
            rate[indices] = scores.rate_nats.numpy() / math.log(2)
            nll[indices] = scores.nll_nats.numpy() / math.log(2)
        return Scores(rate, nll)

    @cached_property
    def _codec(self) -> TextCodec:
        return TextCodec(self._loaded, self._batch_size)

    @cached_property
    def _lossless(self) -> LosslessText:
        return LosslessText(self._codec)

    def _vectors(self, points: bool, seed: int) -> SentenceVectors:
        DecodingOptions(seed=seed)
        row_type = POINTS if points else QUANTIZED
        return SentenceVectors(self._loaded, row_type, seed, self._batch_size)


def _listed(sentences: Sequence[str]) -> list[str]:
    """Return ``sentences`` as a list; refuse none, other types, and line feeds."""
    lines = list(sentences) if isinstance(sentences, Iterable) else [sentences]
    if isinstance(sentences, str) or not all(isinstance(line, str) for line in lines):
        raise UserError(f"{str(sentences)[:100]!r}: expected a list of sentences, each a str")
    for number, line in enumerate(lines):
        if "\n" in line:
            raise UserError(f"sentence {number + 1} has a line feed in it: expected one line")
        try:
            line.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"sentence {number + 1} is not UTF-8: {error.reason}") from error
    if not lines:
        raise UserError("no sentences: expected one or more")
    return lines
