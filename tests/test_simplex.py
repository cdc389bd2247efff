import math

import pytest
import torch

from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.simplex import embed, permutohedron_moment, project, ranks
from onmt_lattice.lattices.theta import log_theta_class


def test_embed_and_project_are_isometries() -> None:
    x = torch.randn(5, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    embedded = embed(x)
    torch.testing.assert_close(embedded.sum(0), torch.zeros(40, dtype=torch.float64))
    torch.testing.assert_close(embedded.norm(dim=0), x.norm(dim=0))
    torch.testing.assert_close(project(embedded), x)
    torch.testing.assert_close(project(embedded + 3.0), x)


def test_the_rows_of_the_basis_are_roots() -> None:
    gram = make_lattice("A5").basis @ make_lattice("A5").basis.T
    cartan = 2 * torch.eye(5) - torch.eye(5).roll(1, 0).tril(0) - torch.eye(5).roll(-1, 0).triu(0)
    torch.testing.assert_close(gram, cartan.double(), atol=1e-12, rtol=0)


def test_dual_basis_is_dual() -> None:
    """Products of a point of A_n and one of A_n* are integers, and the volumes are inverse."""
    lattice, dual = make_lattice("A4"), make_lattice("A4*")
    products = lattice.basis @ dual.basis.T
    torch.testing.assert_close(products, products.round(), atol=1e-12, rtol=0)
    assert lattice.volume * dual.volume == pytest.approx(1)


def test_ranks_are_a_permutation_at_ties() -> None:
    x = torch.randint(0, 3, (6, 500), generator=torch.Generator().manual_seed(0)).float()
    rank = ranks(x)
    assert torch.equal(rank.sort(0).values, torch.arange(6.0)[:, None].expand(6, 500))
    assert torch.equal(rank.long(), x.argsort(dim=0, stable=True).argsort(dim=0))


def test_hexagonal_theta_is_that_of_two_rectangular_cosets() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    log_s = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    sides = (math.sqrt(2), math.sqrt(6))
    cosets = [
        sum(log_theta_class(y[:, i], log_s[:, i], shift * sides[i], sides[i]) for i in (0, 1))
        for shift in (0, 0.5)
    ]
    expected = torch.logaddexp(*cosets)
    torch.testing.assert_close(make_lattice("A2").log_theta(y, log_s), expected)


@pytest.mark.parametrize(
    ("name", "published"),
    # Conway & Sloane, SPLAG, table 2.3 and chapter 21
    [("A2", 5 / (36 * math.sqrt(3))), ("A3", 0.0787451), ("A2*", 0.0801875), ("A3*", 0.0785433)],
)
def test_published_second_moments(name: str, published: float) -> None:
    assert make_lattice(name).nsm == pytest.approx(published, abs=5e-8)


def test_the_permutohedra_of_two_and_three_letters() -> None:
    """A segment of length √2, and a regular hexagon of side √2."""
    assert permutohedron_moment(2) == pytest.approx(2 / 12)
    assert permutohedron_moment(3) == pytest.approx(5 / 12 * 2)


@pytest.mark.parametrize(("name", "other"), [("A3", "D3"), ("A3*", "D3*"), ("A1*", "Z")])
def test_isometric_lattices_share_their_constants(name: str, other: str) -> None:
    lattice, other_lattice = make_lattice(name), make_lattice(other)
    other_lattice = other_lattice.scaled(
        (lattice.volume / other_lattice.volume) ** (1 / lattice.dim)
    )
    assert lattice.nsm == pytest.approx(other_lattice.nsm)
    assert lattice.kissing_number == other_lattice.kissing_number
    assert lattice.covering_radius == pytest.approx(other_lattice.covering_radius)
