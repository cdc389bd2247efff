"""Circuits: what is listed of a code weighs its words as tensors do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.circuit import Circuit
from onmt_lattice.lattices.convolution import CodeLattice
from onmt_lattice.lattices.trellis import MAX

CODES = ["BW16", "Leech"]


def code(name: str) -> CodeLattice:
    lattice = make_lattice(name)
    assert isinstance(lattice, CodeLattice)
    return lattice


def total(circuit: Circuit, weights: np.ndarray, add: np.ufunc, times: np.ufunc) -> np.ndarray:
    """Return the weight of all words in a semiring, one convolution's row after another."""
    rows = np.empty((len(circuit.left), weights.shape[1]), weights.dtype)
    rows[: len(weights)] = weights
    for row in range(len(weights), len(rows)):
        first, c = int(circuit.firsts[row]), row - int(circuit.firsts[row])
        a = np.arange(circuit.orders[row])
        f, g = rows[circuit.left[first + a]], rows[circuit.right[first + (a ^ c)]]
        rows[row] = add.reduce(times(f, g))
    return add.reduce(times(rows[circuit.ends[:, 0]], rows[circuit.ends[:, 1]]))


@pytest.mark.parametrize("name", CODES)
def test_it_counts_the_points_modulo_the_period(name: str) -> None:
    lattice = code(name)
    ones = np.ones((lattice.period * lattice.dim, 1), np.int64)
    volume = lattice.volume / lattice.unit**lattice.dim
    expected = lattice.period**lattice.dim / volume
    assert total(lattice._circuit, ones, np.add, np.multiply) == [round(expected)]


@pytest.mark.parametrize("name", CODES)
def test_its_greatest_word_is_that_of_the_eager_fold(name: str) -> None:
    lattice = code(name)
    generator = torch.Generator().manual_seed(0)
    shape = lattice.period, lattice.dim, 50
    residues = torch.randn(shape, generator=generator, dtype=torch.float64)
    expected = sum(lattice._weigh(residues, MAX)).amax(0)
    found = total(lattice._circuit, residues.flatten(0, 1).numpy(), np.maximum, np.add)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("name", CODES)
def test_rows_are_set_before_they_are_needed(name: str) -> None:
    circuit = code(name)._circuit
    rows = np.arange(len(circuit.left))
    inner = circuit.orders > 0
    for source in (circuit.left, circuit.right):
        assert (source[inner] < circuit.firsts[inner]).all()
    assert ((rows - circuit.firsts)[inner] < circuit.orders[inner]).all()
