"""Lattices: exact nearest points and exact theta series, batched, in PyTorch."""

from onmt_lattice.lattices.barnes_wall import BarnesWall16
from onmt_lattice.lattices.base import Lattice
from onmt_lattice.lattices.checkerboard import Checkerboard, DualCheckerboard
from onmt_lattice.lattices.convolutional import ConvolutionalLattice
from onmt_lattice.lattices.cubic import Cubic
from onmt_lattice.lattices.e8 import E8
from onmt_lattice.lattices.leech import Leech
from onmt_lattice.lattices.product import ProductLattice
from onmt_lattice.lattices.registry import (
    lattice_names,
    lattice_of_dim,
    make_lattice,
    register_lattice,
    takes_any_dim,
)
from onmt_lattice.lattices.simplex import DualSimplex, Simplex

__all__ = [
    "E8",
    "BarnesWall16",
    "Checkerboard",
    "ConvolutionalLattice",
    "Cubic",
    "DualCheckerboard",
    "DualSimplex",
    "Lattice",
    "Leech",
    "ProductLattice",
    "Simplex",
    "lattice_names",
    "lattice_of_dim",
    "make_lattice",
    "register_lattice",
    "takes_any_dim",
]
