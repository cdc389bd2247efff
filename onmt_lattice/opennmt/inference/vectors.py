"""Sentences as vectors or lattice points, and vectors and points as sentences."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.noise import SentenceNoise
from onmt_lattice.opennmt.checkpoint import LoadedAutoencoder, load_autoencoder
from onmt_lattice.opennmt.data.sentences import (
    Sentence,
    read_sentences,
    token_index,
    trained_transforms,
)
from onmt_lattice.opennmt.inference.arrays import Rows
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.inference.search import reconstruct, search_options
from onmt_lattice.opennmt.training import plugin

QUANTIZED, POINTS, CONTINUOUS = KINDS = ("quantized", "points", "continuous")
NO_POINT = np.iinfo(np.int64).min  # every number of an empty line's row of points
FARTHEST = 2**52  # the largest coordinate of a point


class SentenceVectors:
    """Turns sentences to rows of numbers and back, with one trained autoencoder.

    A row is what is called its kind:

    - ``quantized``: ``(m,)`` float32, what the decoder gets, the output of the bottleneck;
    - ``points``: int64, the coordinates of the sentence's lattice points in their bases, or the
      entries that straight-through quantizers chose; with the dither they give the former;
    - ``continuous``: ``(m,)`` float32, X, what goes into the bottleneck.

    An empty line's row is NaN, and in points the least int64 (``NO_POINT``), throughout. The dither
    or noise of a sentence comes of ``seed`` and its line number alone, as in ``translate``.

    Args:
        model: a checkpoint, or what was loaded from one.
        kind: of the rows.
        seed: of dither and noise, from 0 to 2³² − 1.
        batch_size: sentences at a time.
        gpu: CUDA device, or −1.

    Attributes:
        width: numbers of a row.

    Raises:
        UserError: if the checkpoint cannot be used, or its bottleneck has no points.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | LoadedAutoencoder,
        kind: str = QUANTIZED,
        seed: int = 0,
        batch_size: int = 64,
        gpu: int = -1,
    ) -> None:
        if kind not in KINDS:
            raise unknown_name("kind of vectors", kind, KINDS)
        plugin.install()
        if not isinstance(model, LoadedAutoencoder):
            model = load_autoencoder(model, gpu)
        self._loaded = model
        self._pipe = trained_transforms(self._loaded)
        self._scorer = Scorer(self._loaded, seed, batch_size)
        self._bottleneck = self._loaded.model.encoder.bottleneck
        self.kind, self.seed, self.gpu = kind, seed, gpu
        if kind == POINTS:
            self._bottleneck.require_symbols()
        symbols, m = self._bottleneck.symbols, self._bottleneck.input_dim
        self.width = m if kind != POINTS or symbols is None else symbols

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers of a row."""
        return np.dtype(np.int64 if self.kind == POINTS else np.float32)

    def encode(self, lines: list[str], first: int = 0) -> Rows:
        """Return a row for each of ``lines``, ``(N, width)``.

        Args:
            lines: of text, segmented into words as the training text.
            first: line number of the first, from 0.
        """
        rows = np.full((len(lines), self.width), NO_POINT if self.kind == POINTS else np.nan)
        rows = rows.astype(self.dtype)
        sentences = read_sentences(lines, self._pipe, token_index(self._loaded), first)
        work = {
            QUANTIZED: self._scorer.encode,
            POINTS: self._scorer.points,
            CONTINUOUS: self._scorer.represent,
        }
        if sentences:
            at = [sentence.index - first for sentence in sentences]
            rows[at] = work[self.kind](sentences).numpy()
        return rows

    def decode(
        self, rows: Rows, first: int = 0, beam_size: int = 5, max_length: int = 100
    ) -> list[str]:
        """Return the line that each of ``rows`` ``(N, width)`` says, segmentation undone.

        Of X the bottleneck makes first what the decoder gets, as it does in ``translate``.

        Args:
            rows: of this kind, floating-point numbers of any width or int64.
            first: line number of the first, from 0.
            beam_size: of the search; 1 is greedy.
            max_length: of a line, in tokens.
        """
        self.check(rows)
        with np.errstate(over="ignore"):  # what is too large for float32 is refused below
            numbers = rows.astype(self.dtype)
        empty = self.are_empty(numbers)
        held = np.flatnonzero(~empty)
        self._check_numbers(numbers[held], held + first)
        lines = [""] * len(rows)
        if len(held):
            found = self._outputs(torch.from_numpy(numbers[held]), (held + first).tolist())
            sentences = [Sentence(first + i, ["?"], [], 1) for i in held.tolist()]
            opt = search_options(beam_size, max_length, self._scorer.batch_size, self.gpu)
            best = reconstruct(self._loaded, sentences, found, self._pipe, opt)
            for i, decoded in zip(held.tolist(), best, strict=True):
                lines[i] = decoded[0]
        return lines

    def are_empty(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which of ``rows`` ``(N, width)`` are those of empty lines, ``(N,)``."""
        return np.all(rows == NO_POINT if self.kind == POINTS else np.isnan(rows), axis=1)

    def check(self, rows: Rows) -> None:
        """Raise :class:`UserError` unless ``rows`` have this kind's type and width."""
        fits = rows.dtype == self.dtype if self.kind == POINTS else rows.dtype.kind == "f"
        if rows.ndim != 2 or rows.shape[1] != self.width or not fits:
            raise UserError(
                f"an array of shape {rows.shape} and type {rows.dtype}: expected (N, {self.width}) "
                f"of {self.dtype}, the {self.kind} rows that encode writes with this model; "
                "-points and -continuous have to be given to decode as they were to encode"
            )

    def _check_numbers(self, rows: Rows, numbers: npt.NDArray[np.int64]) -> None:
        """Raise :class:`UserError` for the first of ``rows`` that no sentence has."""
        if self.kind != POINTS:
            within, expected = np.isfinite(rows), "finite numbers, or an empty line's NaN"
        elif self._bottleneck.alphabet is not None:
            within = (rows >= 0) & (rows < self._bottleneck.alphabet)
            expected = f"entries from 0 to {self._bottleneck.alphabet - 1}"
        else:
            within = (rows >= -FARTHEST) & (rows <= FARTHEST)
            expected = f"coordinates of at most {FARTHEST}, or an empty line's {NO_POINT}"
        if not within.all():
            row, column = (int(i[0]) for i in np.nonzero(~within))
            raise UserError(
                f"{rows[row, column]} in row {numbers[row]} and column {column}, from 0: "
                f"expected {expected} throughout"
            )

    def _outputs(self, rows: Tensor, numbers: list[int]) -> Tensor:
        """Return ``(N, m)``, what the decoder gets for ``rows`` of the lines ``numbers``."""
        size = self._scorer.batch_size
        batches = zip(rows.split(size), torch.tensor(numbers).split(size), strict=True)
        with torch.inference_mode():
            return torch.cat([self._output(*batch) for batch in batches])

    def _output(self, rows: Tensor, numbers: Tensor) -> Tensor:
        noise = SentenceNoise(self.seed, numbers)
        rows = rows.to(self._scorer.device)
        if self.kind == POINTS:
            return self._bottleneck.received(rows, noise).cpu()
        if self.kind == CONTINUOUS:
            return self._quantized(rows, noise)
        return rows.cpu()

    def _quantized(self, x: Tensor, noise: SentenceNoise) -> Tensor:
        try:
            return self._bottleneck.quantized(x, noise).output.cpu()
        except UserError as error:  # finite, but the lattice has no point that far
            raise UserError(
                f"X of up to {x.abs().max():g} is too far out to be quantized: expected numbers "
                "such as encode -continuous writes"
            ) from error
