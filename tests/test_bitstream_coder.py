"""Symbols in a stream, and the logarithms of their chances: back as they were, at their price."""

from __future__ import annotations

import contextlib
import math
import re

import numpy as np
import pytest
import torch
from conftest import generator
from numba import njit

from onmt_lattice.bitstream import CategoricalCodec, DamagedBitstream, WrongCode, kernels
from onmt_lattice.bitstream.coder import Coder, Meter, Reader, Writer
from onmt_lattice.bitstream.logarithms import UNIT, tables
from onmt_lattice.errors import UserError

RNG = np.random.default_rng(0)
INTEGERS = np.array([0, 1, -1, 2, -2, 63, -64, 2**40, -(2**52), 2**52, 12345678901])


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


def test_entries_that_never_occur_can_be_sent() -> None:
    codec = CategoricalCodec(torch.tensor([[0.0, -1e30], [1e30, 0.0]]))
    symbols = torch.tensor([[1, 1], [0, 0]])
    assert torch.equal(codec.decode(codec.encode(symbols), 2), symbols)
    assert torch.equal(codec.decode(codec.encode(symbols[:0]), 0), symbols[:0])


def test_what_is_wrong_is_refused() -> None:
    codec = CategoricalCodec(torch.randn(3, 4, generator=generator()))
    symbols = torch.randint(4, (9, 3), generator=generator())
    data = codec.encode(symbols)
    with pytest.raises(WrongCode):
        CategoricalCodec(torch.zeros(3, 4)).decode(data, 9)
    with pytest.raises(WrongCode):
        codec.decode(data, 8)
    with pytest.raises(DamagedBitstream):
        codec.decode(data[:-1] + bytes([data[-1] ^ 1]), 9)
    with pytest.raises(UserError, match="0 … 3"):
        codec.encode(symbols + 1)
    with pytest.raises(UserError, match=r"expected \(sentences, 3\)"):
        codec.encode(symbols[:, :2])
    with pytest.raises(UserError, match=r"of torch\.float32: expected"):
        codec.encode(symbols + 0.5)
    for logits in (torch.zeros(3, 1), torch.zeros(3), torch.tensor([[0.0, math.nan]])):
        with pytest.raises(UserError, match="expected finite numbers"):
            CategoricalCodec(logits)


NAT = 1 << UNIT
LOG1P, NORMAL_TABLE = tables().log1p, tables().normal


@pytest.mark.parametrize("name", ["energy", "normal_cdf"])
def test_no_kernel_fuses_a_product_with_a_sum(name: str) -> None:
    """These two alone have floating-point numbers; what is on disk cannot be looked at."""
    fresh = njit(nogil=True, error_model="numpy")(getattr(kernels, name).py_func)
    fresh(NAT, 0.3, *[tables().normal] * (name == "normal_cdf"))
    (text,) = fresh.inspect_asm().values()
    assert "mul" in text
    assert not re.search(r"\bv?f(n?madd|n?msub|mla|mls)", text)


def test_a_file_has_room_for_32768_rows() -> None:
    codec = CategoricalCodec(torch.zeros(1, 2))
    symbols = torch.zeros(2**15 + 1, 1, dtype=torch.int64)
    assert torch.equal(codec.decode(codec.encode(symbols[1:]), 2**15), symbols[1:])
    with pytest.raises(UserError, match="32769 rows: expected at most 32768 in a file"):
        codec.encode(symbols)
