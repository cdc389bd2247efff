"""Lattice points and symbols of quantizers to bytes and back, exactly, on any machine."""

from importlib import import_module
from typing import TYPE_CHECKING

from onmt_lattice.bitstream.file import FileReader
from onmt_lattice.errors import (
    BitstreamError,
    DamagedBitstream,
    NotABitstream,
    WrongCode,
)

if TYPE_CHECKING:
    from onmt_lattice.bitstream.categorical import CategoricalCodec
    from onmt_lattice.bitstream.dither import DitherKey
    from onmt_lattice.bitstream.lattice_codec import LatticeCodec
    from onmt_lattice.bitstream.representation import RepresentationCodec, representation_codec
    from onmt_lattice.bitstream.vector_codec import VectorCodec, VectorCosts

__all__ = [
    "BitstreamError",
    "CategoricalCodec",
    "DamagedBitstream",
    "DitherKey",
    "FileReader",
    "LatticeCodec",
    "NotABitstream",
    "RepresentationCodec",
    "VectorCodec",
    "VectorCosts",
    "WrongCode",
    "representation_codec",
]

_MODULES = {  # of names that need torch, imported at their first use
    "CategoricalCodec": "categorical",
    "DitherKey": "dither",
    "LatticeCodec": "lattice_codec",
    "RepresentationCodec": "representation",
    "VectorCodec": "vector_codec",
    "VectorCosts": "vector_codec",
    "representation_codec": "representation",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
