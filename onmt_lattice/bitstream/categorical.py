"""Symbols of a finite alphabet, each with a learned distribution, to bytes and back."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from onmt_lattice.bitstream import kernels
from onmt_lattice.bitstream.coder import Coder, Meter, Reader, Writer
from onmt_lattice.bitstream.file import points_file, points_of
from onmt_lattice.bitstream.logarithms import UNIT, Integers, tables
from onmt_lattice.errors import UserError

MIN_LOGIT = -64.0  # nats relative to the best entry: an entry there has frequency 0
ROWS_AT_ONCE = 2**16


class CategoricalCodec:
    """Codes the symbols of N quantizers of M entries, as straight-through bottlenecks have.

    As exact on any machine as :class:`~onmt_lattice.bitstream.LatticeCodec`: frequencies are
    computed in integers, from the logits as stored in the checkpoint.

    Args:
        logits: ``(N, M)`` log probabilities in nats, each row up to a constant.

    Raises:
        UserError: if a logit is not finite, or M is not from 2 to 2¹⁶.
    """

    def __init__(self, logits: Tensor) -> None:
        if logits.dim() != 2 or not 2 <= logits.shape[1] <= 2**16 or not logits.isfinite().all():
            raise UserError(
                f"logits of shape {tuple(logits.shape)}: expected finite numbers of shape "
                "(quantizers, entries), with 2 to 65536 entries"
            )
        exact = logits.detach().double().cpu().numpy()
        below = np.maximum(exact - exact.max(1, keepdims=True), MIN_LOGIT)
        self._frequencies = np.empty(below.shape)
        whole = np.trunc(-below * 2.0**UNIT).astype(np.int64)
        kernels.row_frequencies(whole, tables().exp, self._frequencies)

    def encode(self, symbols: Tensor) -> bytes:
        """Return a file of ``symbols`` ``(sentences, N)``, for :meth:`decode` to read.

        Raises:
            UserError: if ``symbols`` have another shape or type, or one is not from 0 to M − 1.
        """
        payload = self.write(symbols)
        return points_file(self.fingerprint, len(symbols), symbols.numel(), payload)

    def write(self, symbols: Tensor) -> bytes:
        """Return ``symbols`` as :meth:`encode` does, without the file around them.

        Raises:
            UserError: as :meth:`encode`.
        """
        writer = Writer()
        self._code(writer, len(symbols), self._checked(symbols))
        return writer.payload()

    def bits(self, symbols: Tensor) -> float:
        """Return the bits of ``symbols`` in a stream, without its last bytes and the file.

        Raises:
            UserError: as :meth:`encode`.
        """
        meter = Meter()
        self._code(meter, len(symbols), self._checked(symbols))
        return meter.total

    def decode(self, data: bytes, sentences: int) -> Tensor:
        """Return the symbols ``(sentences, N)`` int64 of a file.

        Raises:
            BitstreamError: if ``data`` is not a complete and unaltered file that this code wrote
                for this number of sentences.
        """
        return self.read(points_of(data, self.fingerprint, sentences), sentences)

    def read(self, payload: bytes, sentences: int) -> Tensor:
        """Return the symbols ``(sentences, N)`` int64 that :meth:`write` wrote.

        Raises:
            BitstreamError: if ``payload`` is too short or too long, or no encoder wrote it.
        """
        reader = Reader(payload)
        symbols = self._code(reader, sentences, None)
        reader.check_end()
        return torch.from_numpy(symbols)

    def _code(self, coder: Coder, sentences: int, symbols: Integers | None) -> Integers:
        """Code ``symbols``, None to read them, some sentences at a time, and return them."""
        quantizers, entries = self._frequencies.shape
        size = max(1, ROWS_AT_ONCE * kernels.SYMBOLS // (quantizers * entries))
        coded = np.empty((sentences, quantizers), dtype=np.int64)
        for begin in range(0, sentences, size):
            part = coded[begin : begin + size]
            values = None if symbols is None else symbols[begin : begin + size].ravel()
            table = np.tile(self._frequencies, (len(part), 1))
            part[:] = coder.symbols(table, values).reshape(part.shape)
        return coded

    def _checked(self, symbols: Tensor) -> Integers:
        quantizers, entries = self._frequencies.shape
        if symbols.dim() != 2 or symbols.shape[1] != quantizers or symbols.is_floating_point():
            raise UserError(
                f"symbols of shape {tuple(symbols.shape)} of {symbols.dtype}: expected "
                f"(sentences, {quantizers}) of integers"
            )
        checked: Integers = symbols.detach().cpu().numpy().astype(np.int64)
        if ((checked < 0) | (checked >= entries)).any():
            raise UserError(f"symbols outside 0 … {entries - 1}: expected the indices of entries")
        return checked

    @property
    def fingerprint(self) -> int:
        """A CRC-32 of everything that decoding depends on."""
        return zlib.crc32(self._frequencies.astype("<f8").tobytes())
