import numpy as np
import pytest

from onmt_lattice.bitstream import (
    AlteredBitstream,
    BitstreamError,
    ExtendedBitstream,
    NotABitstream,
    TruncatedBitstream,
    WrongCode,
)
from onmt_lattice.bitstream.container import Block, checked, pack, unpack
from onmt_lattice.errors import UserError

BLOCK = Block(0xDEADBEEF, 300, bytes(range(200)))
DATA = pack(BLOCK)


def test_a_block_comes_back() -> None:
    for block in (BLOCK, Block(0, 0, b""), Block(2**32 - 1, 2**60, b"x")):
        assert unpack(pack(block)) == block
    assert len(pack(Block(0, 0, b""))) == 14
    assert checked(DATA, 0xDEADBEEF, 300) == BLOCK.payload


def test_every_beginning_is_truncated() -> None:
    for size in range(1, len(DATA)):
        with pytest.raises(TruncatedBitstream):
            unpack(DATA[:size])


def test_what_is_wrong_is_told_apart() -> None:
    with pytest.raises(NotABitstream, match="expected a block"):
        unpack(b"")
    with pytest.raises(NotABitstream, match="expected a block"):
        unpack(b"\x1f\x8b and so on")
    with pytest.raises(NotABitstream, match="version 9"):
        unpack(DATA[:3] + b"\x09" + DATA[4:])
    with pytest.raises(ExtendedBitstream, match="3 bytes after"):
        unpack(DATA + b"abc")
    with pytest.raises(AlteredBitstream, match="checksum"):
        unpack(DATA[:50] + b"?" + DATA[51:])
    with pytest.raises(WrongCode, match="the lattice, scales, seed and sentences"):
        checked(DATA, 1, 300)
    with pytest.raises(WrongCode, match="300 rows: expected 299"):
        checked(DATA, 0xDEADBEEF, 299)
    assert issubclass(BitstreamError, UserError)


def test_what_a_block_declares_takes_no_memory() -> None:
    huge = DATA[:8] + b"\xff" * 8 + b"\x7f" + b"\xff" * 8 + b"\x7f"
    with pytest.raises(TruncatedBitstream, match="lacks"):
        unpack(huge)
    with pytest.raises(AlteredBitstream, match="does not end"):
        unpack(DATA[:8] + b"\xff" * 12)


def test_no_change_is_accepted() -> None:
    rng = np.random.default_rng(0)
    other = pack(Block(0xDEADBEEF, 300, bytes(reversed(range(200)))))
    for _ in range(1000):
        changed = bytearray(DATA)
        kind = rng.integers(3)
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(len(changed))
            if kind == 0:
                changed[at] ^= 1 << rng.integers(8)
            elif kind == 1:
                del changed[at : at + rng.integers(1, 9)]
            else:
                changed[at:] = other[rng.integers(len(other)) :]
        if bytes(changed) not in (DATA, other):
            with pytest.raises(BitstreamError):
                checked(bytes(changed), 0xDEADBEEF, 300)
