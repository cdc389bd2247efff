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

LEAST = -64.0  # nats below the best entry, at which no entry has any frequency of its own
ROWS_AT_ONCE = 2**16


class CategoricalCodec:
    """Codes the entries that N quantizers of M entries chose, as straight-through bottlenecks do.

    As exact on any machine as :class:`~onmt_lattice.bitstream.LatticeCodec`, and by the same means:
    the frequencies are computed in integers, from logits as they are in the checkpoint.

    Args:
        logits: ``(N, M)`` log probabilities in nats, each row up to a constant.

    Raises:
        UserError: if these are no finite numbers, or M is not from 2 to 2¹⁶.
    """

    def __init__(self, logits: Tensor) -> None:
        if logits.dim() != 2 or not 2 <= logits.shape[1] <= 2**16 or not logits.isfinite().all():
            raise UserError(
                f"logits of shape {tuple(logits.shape)}: expected finite numbers of shape "
                "(quantizers, entries), with 2 to 65536 entries"
            )
        exact = logits.detach().double().cpu().numpy()
        below = np.maximum(exact - exact.max(1, keepdims=True), LEAST)
        self._frequencies = np.empty(below.shape)
        whole = np.trunc(-below * 2.0**UNIT).astype(np.int64)
        kernels.row_frequencies(whole, tables().exp, self._frequencies)

    def encode(self, symbols: Tensor) -> bytes:
        """Return a file of ``symbols`` ``(sentences, N)``, which :meth:`decode` gives back.

        Raises:
            UserError: if their shape is not that, or any is not from 0 to M − 1.
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
        """Return the bits that ``symbols`` take in a stream, but for its last bytes and the file.

        Raises:
            UserError: as :meth:`encode`.
        """
        meter = Meter()
        self._code(meter, len(symbols), self._checked(symbols))
        return meter.total

    def decode(self, data: bytes, sentences: int) -> Tensor:
        """Return the symbols ``(sentences, N)`` int64 of a file.

        Raises:
            BitstreamError: if ``data`` is not, in whole and unaltered, a file that this code wrote
                for so many sentences.
        """
        return self.read(points_of(data, self.fingerprint, sentences), sentences)

    def read(self, payload: bytes, sentences: int) -> Tensor:
        """Return the symbols ``(sentences, N)`` int64 that :meth:`write` wrote.

        Raises:
            BitstreamError: if ``payload`` ends elsewhere than they do, or no encoder wrote it.
        """
        reader = Reader(payload)
        found = self._code(reader, sentences, None)
        reader.check_end()
        return torch.from_numpy(found)

    def _code(self, coder: Coder, sentences: int, symbols: Integers | None) -> Integers:
        """Code ``symbols``, if there are any, some sentences at a time, and return them."""
        quantizers, entries = self._frequencies.shape
        size = max(1, ROWS_AT_ONCE * kernels.SYMBOLS // (quantizers * entries))
        found = np.empty((sentences, quantizers), dtype=np.int64)
        for begin in range(0, sentences, size):
            part = found[begin : begin + size]
            given = None if symbols is None else symbols[begin : begin + size].ravel()
            table = np.tile(self._frequencies, (len(part), 1))
            part[:] = coder.symbols(table, given).reshape(part.shape)
        return found

    def _checked(self, symbols: Tensor) -> Integers:
        quantizers, entries = self._frequencies.shape
        if symbols.dim() != 2 or symbols.shape[1] != quantizers:
            raise UserError(
                f"symbols of shape {tuple(symbols.shape)}: expected (sentences, {quantizers})"
            )
        found: Integers = symbols.detach().cpu().numpy().astype(np.int64)
        if ((found < 0) | (found >= entries)).any():
            raise UserError(f"symbols outside 0 … {entries - 1}: expected the indices of entries")
        return found

    @property
    def fingerprint(self) -> int:
        """A CRC-32 of what decoding depends on."""
        return zlib.crc32(self._frequencies.astype("<f8").tobytes())
