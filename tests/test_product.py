import math

import pytest
import torch

from onmt_lattice.lattices import ProductLattice, make_lattice


def test_blocks_are_independent_copies() -> None:
    factor = make_lattice("D4").scaled(0.7)
    product = ProductLattice(factor, 3).scaled(1.5)
    factor, generator = factor.scaled(1.5), torch.Generator().manual_seed(0)
    x = torch.randn(20, 12, generator=generator, dtype=torch.float64)
    log_s = torch.randn(12, generator=generator, dtype=torch.float64)
    blocks, s_blocks = x.view(20, 3, 4), log_s.view(3, 4)
    assert torch.equal(product.nearest_point(x).view_as(blocks), factor.nearest_point(blocks))
    torch.testing.assert_close(
        product.log_theta(x, log_s), factor.log_theta(blocks, s_blocks).sum(-1)
    )
    torch.testing.assert_close(
        product.dither(x.frac().abs()), factor.dither(blocks.frac().abs()).flatten(-2)
    )


def test_constants() -> None:
    factor, product = make_lattice("E8"), make_lattice("E8^5")
    assert product.dim == 40
    assert product.nsm == factor.nsm
    assert product.second_moment == pytest.approx(factor.second_moment)
    assert product.kissing_number == 5 * 240
    assert product.covering_radius == pytest.approx(math.sqrt(5))
    assert product.scaled(2).volume == pytest.approx(2.0**40)
    assert product.with_second_moment(1).second_moment == pytest.approx(1)


def test_fills_many_dimensions() -> None:
    lattice = make_lattice("E8^62")
    u = lattice.sample_dither((50,), torch.Generator().manual_seed(0))
    assert u.shape == (50, 496)
    assert lattice.log_theta(u, torch.tensor(0.0)).shape == (50,)
