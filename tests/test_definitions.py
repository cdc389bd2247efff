"""The families of lattices against their definitions: roots, duals, isometries and products."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from conftest import normal

from onmt_lattice.lattices import ProductLattice, make_lattice
from onmt_lattice.lattices.convolution import halve
from onmt_lattice.lattices.theta import log_theta_class
from onmt_lattice.lattices.trellis import LOG_SUM, MAX, Semiring


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


@pytest.mark.parametrize(
    ("name", "other"),
    [("A3", "D3"), ("A3*", "D3*"), ("A1*", "Z"), ("A2*", "A2"), ("D4*", "D4"), ("D2*", "D2")],
)
def test_isometric_lattices_share_their_constants(name: str, other: str) -> None:
    """Up to scale."""
    lattice, other_lattice = (make_lattice(v).with_second_moment(1.0) for v in (name, other))
    assert lattice.nsm == pytest.approx(other_lattice.nsm)
    assert lattice.volume == pytest.approx(other_lattice.volume)
    assert lattice.kissing_number == other_lattice.kissing_number
    assert lattice.covering_radius == pytest.approx(other_lattice.covering_radius)


@pytest.mark.parametrize(("name", "dual"), [("A4", "A4*"), ("D5", "D5*")])
def test_a_dual_has_the_dual_basis(name: str, dual: str) -> None:
    """Products of a point and one of the dual are integers, and the volumes are inverse."""
    lattice, other = make_lattice(name), make_lattice(dual)
    products = lattice.basis @ other.basis.T
    torch.testing.assert_close(products, products.round(), atol=1e-12, rtol=0)
    assert lattice.volume * other.volume == pytest.approx(1)


def test_the_rows_of_the_basis_of_a_n_are_roots() -> None:
    gram = make_lattice("A5").basis @ make_lattice("A5").basis.T
    cartan = 2 * torch.eye(5) - torch.eye(5).roll(1, 0).tril(0) - torch.eye(5).roll(-1, 0).triu(0)
    torch.testing.assert_close(gram, cartan.double(), atol=1e-12, rtol=0)


def test_the_240_shortest_vectors_of_e8() -> None:
    """(±1, ±1, 0⁶) in all places, and (±½)⁸ with an even number of minus signs."""
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=8)))
    halves = signs[signs.prod(-1) > 0] / 2
    units = torch.eye(8)
    pairs = [
        a * units[i] + b * units[j]
        for i, j in itertools.combinations(range(8), 2)
        for a, b in itertools.product([-1, 1], repeat=2)
    ]
    roots = torch.cat([halves, torch.stack(pairs)])
    assert len(roots) == 240
    assert make_lattice("E8").contains(roots).all()
    assert not make_lattice("E8").contains(signs[signs.prod(-1) < 0] / 2).any()


def test_hexagonal_theta_is_that_of_two_rectangular_cosets() -> None:
    y, log_s = normal(2, 50, 2)
    sides = (math.sqrt(2), math.sqrt(6))
    cosets = [
        sum(log_theta_class(y[:, i], log_s[:, i], shift * sides[i], sides[i]) for i in (0, 1))
        for shift in (0, 0.5)
    ]
    expected = torch.logaddexp(*cosets)
    torch.testing.assert_close(make_lattice("A2").log_theta(y, log_s), expected)


@pytest.mark.parametrize("n", [2, 5, 13])
@pytest.mark.parametrize("over", [LOG_SUM, MAX])
def test_halves_add_up_to_all_words_of_even_parity(n: int, over: Semiring) -> None:
    weights = normal(2, n)
    words = torch.tensor(list(itertools.product([0, 1], repeat=n)))
    path = torch.where(words == 0, weights[0], weights[1]).sum(-1)
    left, right = halve(weights[:, None, :, None], over)
    even = path[words.sum(-1) % 2 == 0]
    torch.testing.assert_close(over.total(left + right, 0)[0], over.total(even, 0))


def test_blocks_of_a_product_are_independent_copies() -> None:
    factor = make_lattice("D4").scaled(0.7)
    product = ProductLattice(factor, 3).scaled(1.5)
    factor, x, log_s = factor.scaled(1.5), normal(20, 12), normal(12)
    blocks, s_blocks = x.view(20, 3, 4), log_s.view(3, 4)
    assert torch.equal(product.nearest_point(x).view_as(blocks), factor.nearest_point(blocks))
    torch.testing.assert_close(
        product.log_theta(x, log_s), factor.log_theta(blocks, s_blocks).sum(-1)
    )
    torch.testing.assert_close(
        product.dither(x.frac().abs()), factor.dither(blocks.frac().abs()).flatten(-2)
    )


def test_the_constants_of_a_product() -> None:
    factor, product = make_lattice("E8"), make_lattice("E8^5")
    assert (product.dim, product.nsm) == (40, factor.nsm)
    assert product.second_moment == pytest.approx(factor.second_moment)
    assert product.kissing_number == 5 * 240
    assert product.covering_radius == pytest.approx(math.sqrt(5))
    assert product.scaled(2).volume == pytest.approx(2.0**40)
