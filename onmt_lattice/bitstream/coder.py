"""A range coder, that of ``constriction``: symbols to bytes, bytes to symbols, or lengths alone.

Writer, reader and meter share one interface. A codec calls ``symbols`` and ``bits`` with
distributions, and with the values unless it reads them; both return the values. Distributions are
frequencies, whole numbers that sum to 2²⁴ after 1 is added to each; constriction uses them as they
are.

A stream is a number in a subinterval of [0, 1), whose width is the probability of the symbols. Of
the numbers in it, one with the fewest bytes is written. No other bytes are read as these symbols.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import constriction
import numpy as np
import numpy.typing as npt

from onmt_lattice.bitstream import kernels
from onmt_lattice.bitstream.logarithms import Integers
from onmt_lattice.errors import DamagedBitstream

Frequencies = npt.NDArray[np.float64]
PIECE = 16  # bits sent at a time
SLACK = 64  # bits that the symbols of a stream may take beyond those of its bytes
END = 2**64  # end of the interval, in units of the second word


def _families() -> tuple[object, object]:
    model = constriction.stream.model
    return model.Categorical(perfect=False), model.Uniform()


class Coder(ABC):
    """The interface of writer, reader and meter."""

    @abstractmethod
    def symbols(self, frequencies: Frequencies, values: Integers | None) -> Integers:
        """Code a symbol for each row of ``frequencies`` ``(N, M)``, M ≥ 2, and return them."""

    @abstractmethod
    def _uniform(self, sizes: Integers, values: Integers | None) -> Integers:
        """Code for each of ``sizes`` ``(N,)``, 2 or more, a uniform integer below it."""

    def bits(self, widths: Integers, values: Integers | None) -> Integers:
        """Code non-negative integers of ``widths`` ``(N,)`` bits as they are, and return them."""
        numbers = np.zeros(len(widths), dtype=np.int64)
        for shift in range(0, int(np.max(widths, initial=0)), PIECE):
            width = np.clip(widths - shift, 0, PIECE)
            active = width > 0
            sizes = np.left_shift(1, width[active])
            pieces = None if values is None else (values[active] >> shift) & (sizes - 1)
            numbers[active] |= self._uniform(sizes, pieces) << shift
        return numbers

    def integers(self, count: int, values: Integers | None) -> Integers:
        """Code ``count`` integers of magnitudes below 2⁶², each in its own bits and six more."""
        folded = None if values is None else np.where(values < 0, -2 * values - 1, 2 * values) + 1
        length = None if folded is None else _bit_lengths(folded) - 1
        widths = self._uniform(np.full(count, 64), length)
        low = None if folded is None else folded - np.left_shift(1, widths)
        folded = self.bits(widths, low) + np.left_shift(1, widths) - 1
        return np.where(folded % 2 == 1, -(folded // 2) - 1, folded // 2)


class Writer(Coder):
    """Writes symbols to a stream."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self._categorical, self._uniforms = _families()

    def symbols(self, frequencies: Frequencies, values: Integers | None) -> Integers:
        """See :meth:`Coder.symbols`."""
        assert values is not None
        if len(values):
            self._coder.encode(values.astype(np.int32), self._categorical, frequencies)
        return values

    def _uniform(self, sizes: Integers, values: Integers | None) -> Integers:
        assert values is not None
        if len(values):
            self._coder.encode(values.astype(np.int32), self._uniforms, sizes.astype(np.int32))
        return values

    def payload(self) -> bytes:
        """Return the stream: a byte or two more than the bits written."""
        words = self._coder.get_compressed().astype(">u4").tobytes()
        known, (low, size) = self._coder.pos()  # words that are final; interval of the next two
        head, tail = words[: 4 * known], int.from_bytes(words[4 * known :].ljust(8, b"\0"), "big")
        # If the interval crosses 2^64, the final words decide on which side of it the number is.
        low, high = (low, min(low + size, END)) if tail >= low else (0, low + size - END)
        for count in range(9):
            step = END >> 8 * count
            number = -(-low // step) * step
            if number < high:
                break
        return head + number.to_bytes(8, "big")[:count]


class Reader(Coder):
    """Reads symbols of a stream, and writes them again to check its end; values have to be None.

    Raises:
        DamagedBitstream: on reading what no writer wrote, or more symbols than the payload can
            hold. So the number of bytes bounds the work.
    """

    def __init__(self, payload: bytes) -> None:
        self._bits_left = 8.0 * len(payload) + SLACK
        self._payload, self._rewriter = payload, Writer()
        words = np.frombuffer(payload + bytes(-len(payload) % 4), dtype=">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._categorical, self._uniforms = _families()

    def symbols(self, frequencies: Frequencies, values: Integers | None) -> Integers:
        """See :meth:`Coder.symbols`."""
        symbols = self._read(len(frequencies), self._categorical, frequencies)
        self._spend(symbol_bits(frequencies, symbols))
        return self._rewriter.symbols(frequencies, symbols)

    def _uniform(self, sizes: Integers, values: Integers | None) -> Integers:
        self._spend(float(np.log2(sizes).sum()))
        symbols = self._read(len(sizes), self._uniforms, sizes.astype(np.int32))
        return self._rewriter._uniform(sizes, symbols)

    def _spend(self, bits: float) -> None:
        self._bits_left -= bits
        if self._bits_left < 0:
            raise DamagedBitstream("more symbols than bytes can hold: expected those written")

    def _read(self, count: int, family: object, parameters: object) -> Integers:
        if not count:
            return np.zeros(0, dtype=np.int64)
        try:
            symbols: Integers = self._coder.decode(family, parameters).astype(np.int64)
        except AssertionError as error:
            raise DamagedBitstream(
                "symbols that no encoder wrote: expected them as written"
            ) from error
        return symbols

    def check_end(self) -> None:
        """Raise :class:`DamagedBitstream` unless the symbols read take exactly the payload."""
        if self._rewriter.payload() != self._payload:
            raise DamagedBitstream("other bytes than these symbols take: expected them as written")


class Meter(Coder):
    """Writes nothing, and adds up the bits that symbols take.

    Attributes:
        total: the bits, exact except for rounded logarithms and a stream's last byte or two.
    """

    def __init__(self) -> None:
        self.total = 0.0

    def symbols(self, frequencies: Frequencies, values: Integers | None) -> Integers:
        """See :meth:`Coder.symbols`."""
        assert values is not None
        self.total += symbol_bits(frequencies, values)
        return values

    def _uniform(self, sizes: Integers, values: Integers | None) -> Integers:
        assert values is not None
        self.total += float(np.log2(sizes).sum())
        return values


def symbol_bits(frequencies: Frequencies, values: Integers) -> float:
    """Return the bits of N symbols in all, one for each row of ``frequencies`` ``(N, M)``."""
    taken = frequencies[np.arange(len(values)), values]
    return float(24 * len(values) - np.log2(taken + 1).sum())


def _bit_lengths(values: Integers) -> Integers:
    """Return the bit lengths of positive integers below 2⁶³."""
    lengths = np.zeros_like(values)
    for shift in (32, 16, 8, 4, 2, 1):
        large = values >> shift > 0
        lengths += large * shift
        values = np.where(large, values >> shift, values)
    return lengths + 1


INCREMENT = 32  # added to a count at each occurrence
MAX_TOTAL = 2**15  # of the counts of a context; above it they are halved, so recent ones weigh more


class AdaptiveSymbols:
    """Codes symbols below ``size``, each in one of ``contexts``; all have equal chances at first.

    Args:
        contexts: number of contexts.
        size: number of symbols, 2 or more.
    """

    def __init__(self, contexts: int, size: int) -> None:
        self._counts = np.ones((contexts, size), dtype=np.int64)
        self._totals = [size] * contexts

    def code(self, coder: Coder, context: int, value: int | None) -> int:
        """Code ``value``, if there is one, and return it."""
        counts = self._counts[context]
        out = np.empty((1, len(counts)))
        kernels.frequencies(counts, out[0])
        values = None if value is None else np.array([value])
        symbol = int(coder.symbols(out, values)[0])
        counts[symbol] += INCREMENT
        self._totals[context] += INCREMENT
        if self._totals[context] > MAX_TOTAL:
            counts -= counts >> 1
            self._totals[context] = int(counts.sum())
        return symbol
