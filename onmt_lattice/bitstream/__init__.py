"""Lattice points and symbols of quantizers to bytes and back, exactly, on any machine."""

from onmt_lattice.bitstream.categorical import CategoricalCodec
from onmt_lattice.bitstream.dither import DitherKey
from onmt_lattice.bitstream.errors import (
    AlteredBitstream,
    BitstreamError,
    ExtendedBitstream,
    NotABitstream,
    TruncatedBitstream,
    WrongCode,
    WrongModel,
    WrongText,
)
from onmt_lattice.bitstream.file import TextFile
from onmt_lattice.bitstream.lattice import LatticeCodec
from onmt_lattice.bitstream.representation import RepresentationCodec, representation_codec

__all__ = [
    "AlteredBitstream",
    "BitstreamError",
    "CategoricalCodec",
    "DitherKey",
    "ExtendedBitstream",
    "LatticeCodec",
    "NotABitstream",
    "RepresentationCodec",
    "TextFile",
    "TruncatedBitstream",
    "WrongCode",
    "WrongModel",
    "WrongText",
    "representation_codec",
]
