"""The families of lattices against their definitions: roots, duals, isometries and products."""

from __future__ import annotations

import math

import pytest
import torch

from onmt_lattice.lattices import make_lattice


@pytest.mark.parametrize(
    ("name", "published"),
    # Conway & Sloane, SPLAG, table 2.3 and chapter 21
    [
        *(("A2", 5 / (36 * math.sqrt(3))), ("A3", 0.0787451), ("A2*", 0.0801875)),
        *(("A3*", 0.0785433), ("D3", 0.0787451), ("D4", 0.0766032), ("D3*", 0.0785433)),
        ("D4*", 0.0766032),
    ],
)
def test_published_second_moments(name: str, published: float) -> None:
    assert make_lattice(name).nsm == pytest.approx(published, abs=5e-8)


@pytest.mark.parametrize(("name", "dual"), [("A4", "A4*"), ("D5", "D5*")])
def test_a_dual_has_the_dual_basis(name: str, dual: str) -> None:
    """Products of a point and one of the dual are integers, and the volumes are inverse."""
    lattice, other = make_lattice(name), make_lattice(dual)
    products = lattice.basis @ other.basis.T
    torch.testing.assert_close(products, products.round(), atol=1e-12, rtol=0)
    assert lattice.volume * other.volume == pytest.approx(1)


def test_the_constants_of_a_product() -> None:
    factor, product = make_lattice("E8"), make_lattice("E8^5")
    assert (product.dim, product.nsm) == (40, factor.nsm)
    assert product.second_moment == pytest.approx(factor.second_moment)
    assert product.kissing_number == 5 * 240
    assert product.covering_radius == pytest.approx(math.sqrt(5))
    assert product.scaled(2).volume == pytest.approx(2.0**40)
