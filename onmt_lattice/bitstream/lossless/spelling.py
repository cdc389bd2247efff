"""Strings of any bytes, coded by an adaptive model of the next byte given the last three.

The estimates of four orders are blended as by Witten and Bell (1991): with n occurrences of d
distinct symbols in a context, a symbol that occurred c times there has probability
(c + d·p)/(n + d), where p is its probability in the context that is shorter by a byte. All are
whole numbers. A symbol costs at least 0.0014 bits, so that few bytes cannot code an endless string.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from onmt_lattice.bitstream import kernels
from onmt_lattice.bitstream.coder import Coder
from onmt_lattice.bitstream.logarithms import Integers
from onmt_lattice.lattices.kernels.compilation import compiled

END = 256  # the symbol after the last byte
SYMBOLS = 257
ORDERS = 4  # contexts of 0 to 3 bytes
ROWS = 2**15  # to which the contexts of an order are hashed
SCALE = 24  # probabilities are multiples of 2^-24
FINE = 32  # the probability of one occurrence is a multiple of 2^-32
FLOOR = 10  # 2^-10 of the probability is spread evenly over all symbols
MAX_COUNT = 2**12  # of a symbol in a context; there all counts of the context are halved
SYMBOLS_AT_ONCE = 1024


@compiled
def context_rows(last: Any, rows: Any) -> None:
    """Set ``rows`` ``(ORDERS,)`` to the rows of the contexts that end in the symbols ``last``."""
    key = 0
    for k in range(len(rows)):
        rows[k] = k * ROWS + (((key * 0x9E3779B1) & 0xFFFFFFFF) >> 17)
        if k < len(last):
            key = (key * 263 + last[len(last) - 1 - k] + 1) & 0xFFFFFFFF


@compiled
def predict(counts: Any, rows: Any, out: Any) -> None:
    """Set ``out`` ``(SYMBOLS,)`` to the frequencies of the next symbol."""
    chance = np.full(SYMBOLS, (1 << SCALE) // SYMBOLS, dtype=np.int64)
    for k in range(len(rows)):
        row_counts = counts[rows[k]]
        seen, distinct = 0, 0
        for count in row_counts:
            seen += count
            distinct += 1 if count > 0 else 0
        if seen > 0:
            each = (1 << FINE) // (seen + distinct)
            novelty = distinct * each
            for i in range(SYMBOLS):
                share = np.int64(row_counts[i]) * each >> (FINE - SCALE)
                chance[i] = share + (novelty * chance[i] >> FINE)
    chance += (1 << (SCALE - FLOOR)) // SYMBOLS
    kernels.frequencies(chance, out)


@compiled
def learn(counts: Any, rows: Any, last: Any, symbol: Any) -> None:
    """Count ``symbol`` in its contexts, and append it to ``last``."""
    for k in range(len(rows)):
        row_counts = counts[rows[k]]
        row_counts[symbol] += 1
        if row_counts[symbol] >= MAX_COUNT:
            for i in range(SYMBOLS):
                row_counts[i] -= row_counts[i] >> 1
    for k in range(len(last) - 1):
        last[k] = last[k + 1]
    last[len(last) - 1] = symbol


@compiled
def spell(counts: Any, rows: Any, last: Any, symbols: Any, out: Any) -> None:
    """Set ``out`` ``(N, SYMBOLS)`` to the frequencies at each of ``symbols``, and learn them."""
    for i in range(len(symbols)):
        context_rows(last, rows)
        if len(out):
            predict(counts, rows, out[i])
        learn(counts, rows, last, symbols[i])


class Speller:
    """Codes strings of bytes, each followed by END, and learns from them.

    Args:
        primer: strings to learn from at first; the reader has to have the same.
    """

    def __init__(self, primer: Iterable[bytes] = ()) -> None:
        self._counts = np.zeros((ORDERS * ROWS, SYMBOLS), dtype=np.uint16)
        self._rows = np.zeros(ORDERS, dtype=np.int64)
        for string in primer:
            nothing = np.empty((0, SYMBOLS))
            spell(self._counts, self._rows, self._start(), _symbols(string), nothing)

    def code(self, coder: Coder, string: bytes | None) -> bytes:
        """Code ``string``, None to read it, and return it."""
        last = self._start()
        if string is None:
            return self._read(coder, last)
        symbols = _symbols(string)
        for begin in range(0, len(symbols), SYMBOLS_AT_ONCE):
            part = symbols[begin : begin + SYMBOLS_AT_ONCE]
            out = np.empty((len(part), SYMBOLS))
            spell(self._counts, self._rows, last, part, out)
            coder.symbols(out, part)
        return string

    def _read(self, coder: Coder, last: Integers) -> bytes:
        string = bytearray()
        out = np.empty((1, SYMBOLS))
        while True:
            context_rows(last, self._rows)
            predict(self._counts, self._rows, out[0])
            symbol = int(coder.symbols(out, None)[0])
            learn(self._counts, self._rows, last, symbol)
            if symbol == END:
                return bytes(string)
            string.append(symbol)

    @staticmethod
    def _start() -> Integers:
        return np.full(ORDERS - 1, END, dtype=np.int64)


def _symbols(string: bytes) -> Integers:
    return np.array([*string, END], dtype=np.int64)
