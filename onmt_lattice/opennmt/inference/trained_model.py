"""A trained model for programs: vectors, texts, bytes and scores of lists of sentences."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onmt_lattice.bitstream.file import Mode, TextFile
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint import load_autoencoder
from onmt_lattice.opennmt.data.sentences import check_targets, read_pairs, trained_transforms
from onmt_lattice.opennmt.inference.arrays import Rows
from onmt_lattice.opennmt.inference.lossless_text import LosslessText
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.inference.text_codec import TextCodec
from onmt_lattice.opennmt.inference.vectors import POINTS, QUANTIZED, SentenceVectors
from onmt_lattice.opennmt.options.commands import DecodingOptions
from onmt_lattice.opennmt.training import plugin


class Scores(NamedTuple):
    """What sentences cost, NaN for those without a word.

    Attributes:
        rate_bits: ``(N,)`` float64, the cost of each one's representation.
        nll_bits: ``(N,)`` float64, the decoder's negative log-likelihood of its tokens, or its
            target's, given that.
    """

    rate_bits: npt.NDArray[np.float64]
    nll_bits: npt.NDArray[np.float64]


class TrainedModel:
    """A trained model, ready to use; :func:`onmt_lattice.load` makes one.

    A sentence is a line of words, segmented as the training text was. One without words has a row
    of NaN, or of the least int64 in points, and comes back empty. Where a ``seed`` is given, it
    and the number of a sentence in its list determine its dither. Threads may share a model; those
    that decode or score take turns, as a decoder has one state.

    Args:
        path: a checkpoint.
        batch_size: sentences that go through the network at a time.
        gpu: CUDA device, or −1 for the CPU.

    Raises:
        UserError: if there is no checkpoint that can be used. This and all methods raise it for a
            number that the commands refuse as well.
    """

    def __init__(self, path: str | os.PathLike[str], batch_size: int = 64, gpu: int = -1) -> None:
        DecodingOptions(batch_size=batch_size, gpu=gpu)
        plugin.install()
        self._loaded = load_autoencoder(path, gpu)
        self._decoding = threading.RLock()
        self._batch_size, self._gpu = batch_size, gpu

    def encode(self, sentences: Sequence[str], points: bool = False, seed: int = 0) -> Rows:
        """Return ``(N, m)`` float32, what the decoder gets of each sentence.

        With ``points`` it is int64: the coordinates of its lattice points, or the entries that
        straight-through quantizers chose.

        Raises:
            UserError: if there are no sentences, or no points.
        """
        return self._vectors(points, seed).encode(_listed(sentences))

    def decode(
        self, vectors: npt.ArrayLike, beam_size: int = 1, max_length: int = 100, seed: int = 0
    ) -> list[str]:
        """Return the sentences that ``vectors`` say, rows as :meth:`encode` returns them.

        Raises:
            UserError: if they are of another width or type, or hold what no sentence has.
        """
        DecodingOptions(beam_size=beam_size, max_length=max_length)
        rows = np.asarray(vectors)
        points = rows.dtype.kind == "i"
        with self._decoding:
            return self._vectors(points, seed).decode(rows, 0, beam_size, max_length)

    def compress(self, sentences: Sequence[str], lossless: bool = False, seed: int = 0) -> bytes:
        """Return the bytes of the sentences' representations; ``lossless`` adds what they lack.

        Raises:
            UserError: if there are no sentences, one has a line feed, or the model has no code.
        """
        DecodingOptions(seed=seed)
        lines = _listed(sentences)
        if not lossless:
            return self._codec.compress(lines, seed)
        with self._decoding:
            return self._lossless.compress("".join(f"{line}\n" for line in lines).encode(), seed)

    def decompress(self, data: bytes, beam_size: int = 1, max_length: int = 100) -> list[str]:
        """Return the sentences of what :meth:`compress` returned; of lossless bytes the originals.

        Raises:
            BitstreamError: if ``data`` is not, in whole and unaltered, of this model.
        """
        DecodingOptions(beam_size=beam_size, max_length=max_length)
        with self._decoding:
            if TextFile(data).header.mode == Mode.LOSSLESS:
                return self._lossless.decompress(data).decode().split("\n")[:-1]
            return self._codec.decompress(data, beam_size, max_length)

    def score(
        self, sentences: Sequence[str], targets: Sequence[str] | None = None, seed: int = 0
    ) -> Scores:
        """Return the rate of each sentence, and the NLL of its target, an autoencoder's itself.

        Raises:
            UserError: if there are no sentences, or not as many ``targets`` for a model whose
                target is not its source.
        """
        DecodingOptions(seed=seed)
        lines, wanted = _listed(sentences), None if targets is None else _listed(targets)
        check_targets(self._loaded, wanted is not None, "targets")
        if wanted is not None and len(wanted) != len(lines):
            raise UserError(
                f"{len(wanted)} targets: expected one for each of {len(lines)} sentences"
            )
        read = read_pairs(self._loaded, trained_transforms(self._loaded), lines, wanted)
        rate, nll = np.full((2, len(lines)), np.nan)
        if read:
            with self._decoding:
                scores = Scorer(self._loaded, seed, self._batch_size).score(read)
            at = [sentence.index for sentence in read]
            rate[at] = scores.rate_nats.numpy() / math.log(2)
            nll[at] = scores.nll_nats.numpy() / math.log(2)
        return Scores(rate, nll)

    @cached_property
    def _codec(self) -> TextCodec:
        return TextCodec(self._loaded, self._batch_size)

    @cached_property
    def _lossless(self) -> LosslessText:
        return LosslessText(self._codec)

    def _vectors(self, points: bool, seed: int) -> SentenceVectors:
        DecodingOptions(seed=seed)
        kind = POINTS if points else QUANTIZED
        return SentenceVectors(self._loaded, kind, seed, self._batch_size, self._gpu)


def _listed(sentences: Sequence[str]) -> list[str]:
    """Return ``sentences`` as a list, if they are some, without line feeds."""
    if isinstance(sentences, str | bytes) or not all(isinstance(line, str) for line in sentences):
        raise UserError(f"{str(sentences)[:100]!r}: expected a list of sentences, each a str")
    for number, line in enumerate(sentences):
        if "\n" in line:
            raise UserError(f"sentence {number + 1} has a line feed in it: expected one line")
        try:
            line.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"sentence {number + 1} is not UTF-8: {error.reason}") from error
    if not len(sentences):
        raise UserError("no sentences: expected one or more")
    return list(sentences)
