"""Sums over the words of a code by kernels, held against the eager ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.convolution import CodeLattice
from onmt_lattice.lattices.trellis import LOG_SUM

CODES = ["BW16", "Leech"]


@pytest.fixture(params=CODES)
def lattice(request: pytest.FixtureRequest) -> CodeLattice:
    lattice = make_lattice(request.param)
    assert isinstance(lattice, CodeLattice)
    return lattice


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(lattice: CodeLattice, count: int) -> Tensor:
    return 3 * torch.randn(count, lattice.dim, generator=generator(), dtype=torch.float64)


def both(lattice: CodeLattice, y: Tensor, log_s: Tensor) -> list[tuple[Tensor, ...]]:
    """Return value and gradients as kernels find them, and the eager ones."""
    found = []
    for compiled in (True, False):
        at = [v.detach().clone().requires_grad_() for v in (y, log_s)]
        value = lattice.log_theta(*at) if compiled else lattice._fold(*at, LOG_SUM)
        weights = torch.randn(value.shape, generator=generator(1), dtype=value.dtype)
        found.append((value.detach(), *torch.autograd.grad((value * weights).sum(), at)))
    return found


@pytest.mark.parametrize("log_s", [-16.0, -8.0, -4.0, -2.5, -1.8, -1.2, -0.5, 0.0, 0.5, 2.0, 16.0])
def test_kernels_agree_with_the_eager_sums(lattice: CodeLattice, log_s: float) -> None:
    """Where words lie further apart than float64 reaches, too, and for all of the codes' scales."""
    y = points(lattice, 19)
    y[7:] -= lattice.nearest_point(y[7:])
    scales = log_s + 0.3 * torch.randn(lattice.dim, generator=generator(), dtype=torch.float64)
    found, expected = both(lattice, y, scales)
    tolerance = 1e-14 * max(1.0, (-2 * scales).exp().max().item())
    for got, slow in zip(found, expected, strict=True):
        torch.testing.assert_close(got, slow, rtol=1e-11, atol=1e-12 + 100 * tolerance)


def test_scales_of_all_sizes_in_one_point(lattice: CodeLattice) -> None:
    """Narrow coordinates weigh a residue by e^-1000000 and less, wide ones all alike."""
    y, log_s = points(lattice, 8), torch.linspace(-6, 3, lattice.dim, dtype=torch.float64)
    for scales in (log_s, log_s.flip(0), log_s[torch.randperm(lattice.dim, generator=generator())]):
        for got, slow in zip(*both(lattice, y, scales), strict=True):
            torch.testing.assert_close(got, slow, rtol=1e-10, atol=1e-8)


def test_deep_holes(lattice: CodeLattice) -> None:
    """Half a lattice vector may have many points as near: their residues all count."""
    integers = torch.randint(-2, 3, (40, lattice.dim), generator=generator())
    y = lattice.point(integers) / 2
    for log_s in (-4.0, -2.0, 0.0):
        scales = torch.tensor([log_s], dtype=torch.float64)
        for got, slow in zip(*both(lattice, y, scales), strict=True):
            torch.testing.assert_close(got, slow, rtol=1e-11, atol=1e-7)


def test_a_point_has_the_same_sum_in_any_company(lattice: CodeLattice) -> None:
    y, log_s = points(lattice, 21), torch.full((lattice.dim,), -1.0, dtype=torch.float64)
    value = lattice.log_theta(y, log_s)
    assert torch.equal(torch.cat([lattice.log_theta(v, log_s) for v in y.split(1)]), value)
    assert torch.equal(lattice.log_theta(y.flip(0), log_s), value.flip(0))
    y[::3, 0] = torch.nan
    found = lattice.log_theta(y, log_s)
    assert found[::3].isnan().all()
    assert torch.equal(found[1::3], value[1::3])


def test_float32_is_summed_as_finely_as_float64(lattice: CodeLattice) -> None:
    y, log_s = points(lattice, 9).float(), torch.full((lattice.dim,), -0.5)
    found, expected = (
        lattice.log_theta(y.to(d), log_s.to(d)) for d in (torch.float32, torch.float64)
    )
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected.float(), rtol=1e-6, atol=1e-5)


def test_gradients_are_made_only_where_they_are_wanted(lattice: CodeLattice) -> None:
    y, log_s = points(lattice, 5), torch.zeros(lattice.dim, dtype=torch.float64)
    whole = both(lattice, y, log_s)[0]
    assert not lattice.log_theta(y, log_s).requires_grad
    weights = torch.randn(5, generator=generator(1), dtype=torch.float64)
    for wanted, expected in ((0, whole[1]), (1, whole[2])):
        at = [y.clone(), log_s.clone()]
        at[wanted].requires_grad_()
        (lattice.log_theta(*at) @ weights).backward()
        assert torch.equal(at[wanted].grad, expected)
