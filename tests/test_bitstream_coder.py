import contextlib

import constriction
import numpy as np

from onmt_lattice.bitstream import DamagedBitstream
from onmt_lattice.bitstream.coder import Coder, Meter, Reader, Writer

RNG = np.random.default_rng(0)
INTEGERS = np.array([0, 1, -1, 2, -2, 63, -64, 2**40, -(2**52), 2**52, 12345678901])


def test_the_coder_takes_frequencies_as_they_are() -> None:
    """Symbol k is what a stream that begins with any number of its own interval decodes to."""
    table = np.array([[5.0, 0.0, 2**24 - 4 - 82, 77.0]])
    family = constriction.stream.model.Categorical(perfect=False)
    bounds = np.cumsum(table[0] + 1).astype(int)
    assert bounds[-1] == 2**24
    for symbol, (low, high) in enumerate(zip([0, *bounds], bounds, strict=False)):
        for value in (low, high - 1):
            words = np.array([value << 8, 0], dtype=np.uint32)
            decoder = constriction.stream.queue.RangeDecoder(words)
            assert decoder.decode(family, table).tolist() == [symbol]


def test_all_kinds_of_symbols_come_back() -> None:
    tables = np.floor(RNG.random((1000, 7)) * 1000)
    tables[:, 3] += 2**24 - 7 - tables.sum(1)
    symbols, widths = RNG.integers(7, size=1000), RNG.integers(0, 45, size=300)
    values = (RNG.random(300) * 2.0**widths).astype(np.int64)

    def code(coder: Coder, given: bool) -> list[np.ndarray]:
        return [
            coder.symbols(tables, symbols if given else None),
            coder.integers(len(INTEGERS), INTEGERS if given else None),
            coder.bits(widths, values if given else None),
            coder.integers(0, INTEGERS[:0] if given else None),
        ]

    writer, meter = Writer(), Meter()
    code(writer, True)
    code(meter, True)
    reader = Reader(writer.payload())
    found = code(reader, False)
    reader.check_end()
    for got, sent in zip(found, (symbols, INTEGERS, values, INTEGERS[:0]), strict=True):
        assert got.tolist() == sent.tolist()
    assert meter.total - 8 < 8 * len(writer.payload()) <= meter.total + 16


def test_a_stream_is_as_short_as_its_symbols_allow_and_no_other_is_read() -> None:
    """Random symbols, and those at either end of their distributions, where carries run."""
    rng = np.random.default_rng(0)
    for trial in range(800):
        sizes = rng.integers(2, 2 ** rng.integers(2, 17), rng.integers(0, 12))
        values = [rng.integers(sizes), sizes - 1, 0 * sizes, sizes // 2][trial % 4]
        writer = Writer()
        writer._uniform(sizes, values)
        payload, bits = writer.payload(), np.log2(sizes).sum()
        assert len(payload) <= np.ceil(bits / 8) + 1
        reader = Reader(payload)
        assert reader._uniform(sizes, None).tolist() == values.tolist()
        reader.check_end()
        for wrong in {payload + b"\0", payload + b"\1\2\3\4\5", payload[:-1]} - {payload}:
            with contextlib.suppress(DamagedBitstream):
                reader = Reader(wrong)
                found = reader._uniform(sizes, None)
                reader.check_end()
                assert found.tolist() != values.tolist()
