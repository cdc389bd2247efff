"""The compiled decoders, held against the eager ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from onmt_lattice.lattices import Lattice, make_lattice
from onmt_lattice.lattices.base import FARTHEST

COMPILED = [
    "Z",
    "Z3",
    "A1",
    "A2",
    "A3",
    "A7",
    "A24",
    "D2",
    "D4",
    "D5",
    "D24",
    "E8",
    "BW16",
    "Leech",
]


def eager(lattice: Lattice, x: Tensor) -> Tensor:
    """Return the nearest points as they are found on other devices."""
    return lattice._nearest(x / lattice.scale) * lattice.scale


@pytest.fixture(params=COMPILED)
def lattice(request: pytest.FixtureRequest) -> Lattice:
    return make_lattice(request.param).with_second_moment(1.0)


def points(lattice: Lattice, count: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 5 * torch.randn(count, lattice.dim, generator=generator, dtype=dtype)


def test_there_is_a_kernel(lattice: Lattice) -> None:
    assert lattice._kernel() is not None


@pytest.mark.parametrize("count", [1, 7, 8, 9, 500])
def test_float64_finds_the_same_points(lattice: Lattice, count: int) -> None:
    x = points(lattice, count, torch.float64)
    torch.testing.assert_close(lattice.nearest_point(x), eager(lattice, x), rtol=1e-13, atol=1e-13)


def test_float32_finds_points_as_near(lattice: Lattice) -> None:
    """Where rounding decides, it may be another one, no further by more than that."""
    x = points(lattice, 3000, torch.float32)
    found, other = lattice.nearest_point(x), eager(lattice, x)
    assert lattice.contains(found).all()
    distances = [(x - z).double().square().sum(1) for z in (found, other)]
    torch.testing.assert_close(*distances, rtol=1e-5, atol=1e-4)
    assert (found - other).abs().amax(1).gt(1e-3).float().mean() < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_point_comes_out_alike_in_any_company(lattice: Lattice, dtype: torch.dtype) -> None:
    x = points(lattice, 37, dtype)
    expected = lattice.nearest_point(x)
    assert torch.equal(torch.cat([lattice.nearest_point(v) for v in x.split(1)]), expected)
    assert torch.equal(lattice.nearest_point(x.flip(0)), expected.flip(0))
    lost = torch.arange(37) % 3 == 0
    x[lost, 0] = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -1e18]).repeat(3)[:13].to(dtype)
    found = lattice.nearest_point(x)
    assert found[lost].isnan().all()
    assert torch.equal(found[~lost], expected[~lost])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_farthest_points_that_are_decoded(lattice: Lattice, dtype: torch.dtype) -> None:
    """Eager and compiled agree on which they are."""
    farthest = FARTHEST[dtype] * torch.tensor(lattice.scale, dtype=dtype)
    x = torch.zeros(2, lattice.dim, dtype=dtype)
    x[0, -1], x[1, -1] = farthest * 0.999, farthest * 1.001
    assert lattice.nearest_point(x).isnan().all(1).tolist() == [False, True]
