"""Codes on lattice points."""

from onmt_lattice.codes.base import LatticeCode, code_names, make_code, register_code
from onmt_lattice.codes.convolved_gaussian import ConvolvedGaussianCode
from onmt_lattice.codes.discrete_gaussian import DiscreteGaussianCode

__all__ = [
    "ConvolvedGaussianCode",
    "DiscreteGaussianCode",
    "LatticeCode",
    "code_names",
    "make_code",
    "register_code",
]
