"""Lattices: exact nearest points and exact theta series, batched, in PyTorch."""

from onmt_lattice.lattices.base import Lattice
from onmt_lattice.lattices.cubic import Cubic
from onmt_lattice.lattices.registry import lattice_names, make_lattice, register_lattice
from onmt_lattice.lattices.simplex import Simplex

__all__ = [
    "Cubic",
    "Lattice",
    "Simplex",
    "lattice_names",
    "make_lattice",
    "register_lattice",
]
