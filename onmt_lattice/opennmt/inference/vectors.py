"""From sentences to vectors or lattice points, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from onmt_lattice.bitstream.arrays import Rows
from onmt_lattice.errors import UserError
from onmt_lattice.noise import SentenceNoise
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder
from onmt_lattice.opennmt.data.sentences import (
    Sentence,
    read_sentences,
    token_index,
    trained_transforms,
)
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.inference.search import reconstruct, search_options

QUANTIZED, POINTS, CONTINUOUS = ("quantized", "points", "continuous")
NO_POINT = np.iinfo(np.int64).min  # every number of an empty line's row of points
MAX_COORDINATE = 2**52  # of a point


class SentenceVectors:
    """Encodes sentences as rows of numbers, and decodes them, with a trained autoencoder.

    A row is one of

    - ``quantized``: ``(m,)`` float32, the output of the bottleneck;
    - ``points``: int64, the coordinates of the sentence's lattice points in their bases, or the
      entries that straight-through quantizers chose; with the dither they give the former;
    - ``continuous``: ``(m,)`` float32, X, the input of the bottleneck.

    The row of an empty line is NaN or, in points, the least int64 (``NO_POINT``). The dither or
    noise of a sentence depends on ``seed`` and its line number only, as in ``translate``.

    Attributes:
        width: numbers of a row.
    """

    def __init__(
        self,
        loaded: LoadedAutoencoder,
        row_type: str = QUANTIZED,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        self._loaded = loaded
        self._pipe = trained_transforms(self._loaded)
        self._scorer = Scorer(self._loaded, seed, batch_size)
        self._bottleneck = self._loaded.model.encoder.bottleneck
        self.row_type, self.seed = row_type, seed
        if row_type == POINTS:
            self._bottleneck.require_symbols()
        symbols, m = self._bottleneck.symbol_count, self._bottleneck.input_dim
        self.width = m if row_type != POINTS or symbols is None else symbols

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers of a row."""
        return np.dtype(np.int64 if self.row_type == POINTS else np.float32)

    def encode(self, lines: list[str], first: int = 0) -> Rows:
        """Return a row for each of ``lines``, ``(N, width)``; the first has number ``first``."""
        rows = np.full((len(lines), self.width), NO_POINT if self.row_type == POINTS else np.nan)
        rows = rows.astype(self.dtype)
        sentences = read_sentences(lines, self._pipe, token_index(self._loaded), first)
        encoders = {
            QUANTIZED: self._scorer.encode,
            POINTS: self._scorer.points,
            CONTINUOUS: self._scorer.represent,
        }
        if sentences:
            indices = [sentence.index - first for sentence in sentences]
            rows[indices] = encoders[self.row_type](sentences).numpy()
        return rows

    def decode(
        self, rows: Rows, first: int = 0, beam_size: int = 5, max_length: int = 100
    ) -> list[str]:
        """Return the line of each of ``rows`` ``(N, width)``, without the model's segmentation.

        X is quantized first, as in ``translate``.
        """
        self._check_type(rows)
        with np.errstate(over="ignore"):  # numbers too large for float32 are refused below
            numbers = rows.astype(self.dtype)
        indices = np.flatnonzero(~self.are_empty(numbers))
        numbers, line_numbers = numbers[indices], indices + first
        self._check_numbers(numbers, line_numbers)
        lines = [""] * len(rows)
        if len(indices):
            outputs = self._outputs(torch.from_numpy(numbers), line_numbers.tolist())
            sentences = [Sentence(number, ["?"], [], 1) for number in line_numbers.tolist()]
            opt = search_options(beam_size, max_length, self._scorer.batch_size)
            best = reconstruct(self._loaded, sentences, outputs, self._pipe, opt)
            for index, decoded in zip(indices.tolist(), best, strict=True):
                lines[index] = decoded[0]
        return lines

    def are_empty(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which of ``rows`` ``(N, width)`` are of empty lines, ``(N,)``."""
        return np.all(rows == NO_POINT if self.row_type == POINTS else np.isnan(rows), axis=1)

    def _check_type(self, rows: Rows) -> None:
        """Raise :class:`UserError` unless ``rows`` have this row type's type and width."""
        fits = rows.dtype == self.dtype if self.row_type == POINTS else rows.dtype.kind == "f"
        if rows.ndim != 2 or rows.shape[1] != self.width or not fits:
            raise UserError(
                f"an array of shape {rows.shape} and type {rows.dtype}: expected (N, {self.width}) "
                f"of {self.dtype}, the {self.row_type} rows that encode writes with this model; "
                "-points and -continuous must be the same for encode and decode"
            )

    def _check_numbers(self, rows: Rows, numbers: npt.NDArray[np.int64]) -> None:
        """Raise :class:`UserError` for the first number in ``rows`` that no sentence has."""
        if self.row_type != POINTS:
            within, expected = np.isfinite(rows), "finite numbers, or an empty line's NaN"
        elif self._bottleneck.alphabet is not None:
            within = (rows >= 0) & (rows < self._bottleneck.alphabet)
            expected = f"entries from 0 to {self._bottleneck.alphabet - 1}"
        else:
            within = (rows >= -MAX_COORDINATE) & (rows <= MAX_COORDINATE)
            expected = f"coordinates of at most {MAX_COORDINATE}, or an empty line's {NO_POINT}"
        if not within.all():
            row, column = (int(i[0]) for i in np.nonzero(~within))
            raise UserError(
                f"{rows[row, column]} in row {numbers[row]} and column {column}, from 0: "
                f"expected {expected} throughout"
            )

    def _outputs(self, rows: Tensor, numbers: list[int]) -> Tensor:
        """Return ``(N, m)``, the bottleneck's outputs for ``rows`` of the lines ``numbers``."""
        size = self._scorer.batch_size
        batches = zip(rows.split(size), torch.tensor(numbers).split(size), strict=True)
        with torch.inference_mode():
            return torch.cat([self._output(*batch) for batch in batches])

    def _output(self, rows: Tensor, numbers: Tensor) -> Tensor:
        noise = SentenceNoise(self.seed, numbers)
        rows = rows.to(self._scorer.device)
        if self.row_type == POINTS:
            return self._bottleneck.received(rows, noise).cpu()
        if self.row_type == QUANTIZED:
            return rows.cpu()
        try:
            return self._bottleneck.quantized(rows, noise).output.cpu()
        except UserError as error:  # finite, but beyond the coordinates of points
            raise UserError(
                f"X of up to {rows.abs().max():g} is too far out to be quantized: expected numbers "
                "such as encode -continuous writes"
            ) from error
