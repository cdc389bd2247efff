"""Lattice points and symbols of quantizers to bytes and back, exactly, on any machine."""

from onmt_lattice.bitstream.categorical import CategoricalCodec
from onmt_lattice.bitstream.container import (
    AlteredBitstream,
    BitstreamError,
    ExtendedBitstream,
    NotABitstream,
    TruncatedBitstream,
    WrongCode,
)
from onmt_lattice.bitstream.dither import DitherKey
from onmt_lattice.bitstream.lattice import LatticeCodec

__all__ = [
    "AlteredBitstream",
    "BitstreamError",
    "CategoricalCodec",
    "DitherKey",
    "ExtendedBitstream",
    "LatticeCodec",
    "NotABitstream",
    "TruncatedBitstream",
    "WrongCode",
]
