"""Laws that every lattice obeys. A new lattice is one more name in LATTICES, or registered."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from enumeration import points_within

from onmt_lattice.lattices import Lattice, lattice_names, make_lattice
from onmt_lattice.lattices.base import FARTHEST
from onmt_lattice.lattices.trellis import MAX, TrellisLattice

FAMILY_MEMBERS = ["A1", "A7", "A5*", "D2", "D5", "D16", "D3*"]  # the least, odd, even and large
CONVOLUTIONAL = ["conv4-8", "conv8-12", "conv9-8", "z4conv64-12"]  # as large as enumeration bears
LISTED = [name for name in lattice_names() if make_lattice(name).dim <= 24]
LATTICES = sorted({*LISTED, *FAMILY_MEMBERS, *CONVOLUTIONAL, "Z3", "E8^2"})
DTYPES = [torch.float32, torch.float64]
SIMULATED_NSM = {"BW16": 5e-5, "Leech": 5e-5}  # what is published is itself an estimate
FITTED_NSM = 5e-4  # of convolutional lattices, at the least dimensions: see generators.py


@pytest.fixture(params=LATTICES)
def lattice(request: pytest.FixtureRequest) -> Lattice:
    return make_lattice(request.param)


def affordable(lattice: Lattice, at_8: int) -> int:
    """Return a sample size that takes all lattices a similar time."""
    return at_8 if lattice.dim <= 8 else at_8 // 10 if lattice.dim <= 16 else at_8 // 100


def uniform(lattice: Lattice, count: int, rng: torch.Generator) -> torch.Tensor:
    """Return points far from the origin, uniform on many cells."""
    return 20 * torch.rand(count, lattice.dim, generator=rng, dtype=torch.float64) - 10


def lattice_points(lattice: Lattice, count: int, rng: torch.Generator) -> torch.Tensor:
    return lattice.point(torch.randint(-9, 10, (count, lattice.dim), generator=rng))


def scales(lattice: Lattice, count: int, rng: torch.Generator) -> torch.Tensor:
    """Return log scales of all coordinates, a few times narrower than the cell to as wide."""
    spread = torch.randn(count, lattice.dim, generator=rng, dtype=torch.float64)
    return math.log(lattice.volume) / lattice.dim - 1.2 + 0.3 * spread


@cache
def shortest_vectors(name: str) -> np.ndarray:
    lattice = make_lattice(name)
    length = lattice.basis.norm(dim=-1).min().item()
    _, vectors = points_within(lattice.basis.numpy(), np.zeros((1, lattice.dim)), length + 1e-9)
    norms = np.linalg.norm(vectors, axis=-1)
    return vectors[(norms > 1e-9) & (norms < norms[norms > 1e-9].min() + 1e-9)]


def owners_of_nearer_points(
    lattice: Lattice, x: torch.Tensor, nearest: torch.Tensor, slack: float = -1e-9
) -> set[int]:
    """Return the indices of those ``x`` that have a lattice point nearer than ``nearest``."""
    radii = (x - nearest).norm(dim=-1).numpy() + slack
    away = np.flatnonzero(radii > 0)
    owners, _ = points_within(lattice.basis.numpy(), x.numpy()[away], radii[away])
    return set(away[owners])


# ---- the lattice --------------------------------------------------------------------------------


def test_coordinates_invert_point(lattice: Lattice, rng: torch.Generator) -> None:
    coordinates = torch.randint(-99, 100, (3, 50, lattice.dim), generator=rng)
    point = lattice.point(coordinates)
    assert torch.equal(lattice.coordinates(point), coordinates)
    assert torch.equal(lattice.coordinates(point.float()), coordinates)
    assert lattice.contains(point).all()


def test_contains_refuses_points_off_the_lattice(lattice: Lattice, rng: torch.Generator) -> None:
    off = torch.randn(50, lattice.dim, generator=rng, dtype=torch.float64)
    off *= 1e-2 / off.norm(dim=-1, keepdim=True)
    points = lattice_points(lattice, 50, rng)
    assert not lattice.contains(points + off).any()
    points[7] += off[7]
    with pytest.raises(ValueError, match=r"1 of 50 points are none of .*expected what nearest"):
        lattice.coordinates(points)
    with pytest.raises(ValueError, match="expected real numbers"):
        lattice.nearest_point(torch.zeros(2, lattice.dim, dtype=torch.complex64))


def test_kissing_number(lattice: Lattice) -> None:
    if lattice.kissing_number is None:
        pytest.skip("not known")
    assert len(shortest_vectors(lattice.name)) == lattice.kissing_number


def test_scaling(lattice: Lattice, rng: torch.Generator) -> None:
    x, twice = uniform(lattice, 100, rng), lattice.scaled(2.0)
    assert torch.equal(twice.nearest_point(2 * x), 2 * lattice.nearest_point(x))
    assert twice.volume == pytest.approx(lattice.volume * 2**lattice.dim)
    assert twice.second_moment == pytest.approx(4 * lattice.second_moment)
    if lattice.covering_radius is not None:
        assert twice.covering_radius == pytest.approx(2 * lattice.covering_radius)
    assert lattice.with_second_moment(0.3).second_moment == pytest.approx(0.3)
    s = scales(lattice, 100, rng)
    torch.testing.assert_close(
        twice.log_theta(2 * x, s + math.log(2)), lattice.log_theta(x, s), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("factor", [0.0, -1.0, math.inf, math.nan, 1e-300, 1e300])
def test_scaled_refuses(factor: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        make_lattice("E8").scaled(factor)


# ---- the nearest point --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_farthest_points_are_points(
    lattice: Lattice, rng: torch.Generator, dtype: torch.dtype
) -> None:
    factor = 0.7389
    lattice = lattice.scaled(factor)
    x = 2 * torch.rand(200, lattice.dim, generator=rng, dtype=torch.float64) - 1
    x = (0.999 * factor * FARTHEST[dtype] * x).to(dtype)
    points = lattice.nearest_point(x)
    assert not points.isnan().any() and lattice.contains(points).all()
    assert lattice.contains(lattice.point(lattice.coordinates(points))).all()
    if lattice.covering_radius is not None:
        rounding = 0.05 * factor * math.sqrt(lattice.dim)
        assert (x.double() - points).norm(dim=1).max() < lattice.covering_radius + rounding


def test_no_point_is_nearer(lattice: Lattice, rng: torch.Generator) -> None:
    """A thousand points find a decoder that misses one coset in a hundred, or rounds one wrong."""
    x = uniform(lattice, affordable(lattice, 1_000), rng)
    nearest = lattice.nearest_point(x)
    assert lattice.contains(nearest).all()
    assert not owners_of_nearer_points(lattice, x, nearest)
    # The search is able to find: with a little slack it finds every decoded point itself.
    assert len(owners_of_nearer_points(lattice, x, nearest, slack=1e-9)) == len(x)


def test_ties_are_lattice_points_and_deterministic(lattice: Lattice, rng: torch.Generator) -> None:
    """Midpoints and thirds of lattice points lie on walls and corners of Voronoi cells."""
    points = lattice_points(lattice, affordable(lattice, 300), rng)
    for x in (points / 2, points / 3, points[:2] * 0, points / 2 + 0.25):
        nearest = lattice.nearest_point(x)
        assert lattice.contains(nearest).all()
        assert not owners_of_nearer_points(lattice, x, nearest)
        assert torch.equal(lattice.nearest_point(x), nearest)
        assert torch.equal(lattice.nearest_point(x.flip(0)), nearest.flip(0))
        assert torch.equal(
            torch.cat([lattice.nearest_point(v) for v in x[:9]]), nearest[:9].view(-1)
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_any_shape_and_dtype(lattice: Lattice, dtype: torch.dtype, rng: torch.Generator) -> None:
    x = uniform(lattice, 24, rng).to(dtype)
    expected = lattice.nearest_point(x.double())
    for shape in [(24,), (2, 3, 4), (24, 1), (3, 0), (0,)]:
        nearest = lattice.nearest_point(x[: math.prod(shape)].view(*shape, lattice.dim))
        assert nearest.shape == (*shape, lattice.dim)
        if nearest.numel() == 0:
            continue
        assert nearest.dtype == max(dtype, torch.float32, key=lambda d: torch.finfo(d).bits)
        assert lattice.contains(nearest).all()
        torch.testing.assert_close(nearest.view_as(x).double(), expected, rtol=1e-6, atol=1e-5)
    assert lattice.nearest_point(x[0]).shape == (lattice.dim,)
    assert not lattice.nearest_point(x.clone().requires_grad_()).requires_grad
    columns = x.T.contiguous().T  # not contiguous
    assert torch.equal(lattice.nearest_point(columns), lattice.nearest_point(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_has_no_nearest_point_is_no_point(lattice: Lattice, dtype: torch.dtype) -> None:
    x = torch.zeros(6, lattice.dim, dtype=dtype)
    x[:5, -1] = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -(2.0**60)])
    x[5] = 2.0**16 + 0.3  # large, but not too large
    nearest = lattice.nearest_point(x)
    assert nearest[:5].isnan().all()
    assert lattice.contains(nearest).tolist() == 5 * [False] + [True]
    if lattice.covering_radius is not None:
        assert (nearest[5] - x[5]).norm() <= 1.1 * lattice.covering_radius
    lattice.coordinates(nearest[5:])
    with pytest.raises(ValueError, match="5 of 6 points are none of"):
        lattice.coordinates(nearest)


def test_no_step_waits_for_data(lattice: Lattice) -> None:
    """On a device without data nothing can depend on them, nor wait for a copy to the host."""
    x, log_s = torch.zeros(2, 5, lattice.dim, device="meta"), torch.zeros(5, 1, device="meta")
    assert lattice.nearest_point(x).shape == x.shape
    assert lattice.log_theta(x, log_s).shape == (2, 5)


def test_chunks_do_not_matter(lattice: Lattice, rng: torch.Generator) -> None:
    x, log_s = uniform(lattice, 100, rng), scales(lattice, 100, rng)
    nearest, theta = lattice.nearest_point(x), lattice.log_theta(x, log_s)
    blocks, shared = x.view(20, 5, -1), log_s[:5]
    theta_shared = lattice.log_theta(blocks, shared)
    lattice.chunk = 7
    assert torch.equal(lattice.nearest_point(x), nearest)
    torch.testing.assert_close(lattice.log_theta(x, log_s), theta)
    torch.testing.assert_close(lattice.log_theta(blocks, shared), theta_shared)
    torch.testing.assert_close(lattice.log_theta(x[0], log_s)[:5], lattice.log_theta(x[0], shared))
    assert lattice.log_theta(x[:0], shared[0]).shape == (0,)


def test_wrong_shapes_are_refused(lattice: Lattice) -> None:
    bad, zero = torch.zeros(4, lattice.dim + 1), torch.tensor(0.0)
    for call, *words in (
        *((lattice.nearest_point, bad), (lattice.coordinates, bad), (lattice.point, bad)),
        *((lattice.dither, bad), (lattice.log_theta, bad, zero), (lattice.nearest_point, zero)),
        (lattice.log_theta, bad[:, 1:], bad),
    ):
        with pytest.raises(ValueError, match=f"last dimension must be {lattice.dim}"):
            call(*words)


# ---- the Voronoi cell ---------------------------------------------------------------------------


def test_dither_lies_in_the_cell(lattice: Lattice, rng: torch.Generator) -> None:
    u = lattice.sample_dither((4, affordable(lattice, 1_000)), rng, dtype=torch.float64)
    assert u.shape[-1] == lattice.dim
    assert lattice.nearest_point(u).abs().max() == 0
    if lattice.covering_radius is None:
        return
    norms = u.norm(dim=-1)
    assert norms.max() <= lattice.covering_radius
    assert norms.max() > 0.6 * lattice.covering_radius


def test_second_moment(lattice: Lattice, rng: torch.Generator) -> None:
    """E[UUᵀ] is proportional to the identity, by the stated G(Λ); for trellises, nearly.

    It finds a G that is wrong by half a percent, or a coordinate that is folded otherwise. The
    digits of G are held against published ones where lattices are held against their definitions.
    """
    count = affordable(lattice, 200_000)
    u = lattice.sample_dither((count,), rng)
    per_dim = u.square().mean(-1).double()
    tolerance = 3 * per_dim.std() / math.sqrt(count)
    unknown = FITTED_NSM if lattice.name in CONVOLUTIONAL else SIMULATED_NSM.get(lattice.name, 0)
    tolerance += unknown * lattice.volume ** (2 / lattice.dim)
    assert abs(per_dim.mean() - lattice.second_moment) < tolerance
    covariance = (u.T @ u).double() / count / lattice.second_moment
    at_ends = 0.2 if lattice.name in CONVOLUTIONAL else 0.0
    assert (covariance - torch.eye(lattice.dim)).abs().max() < 6 / math.sqrt(count) + at_ends


def test_deepest_hole(lattice: Lattice, rng: torch.Generator) -> None:
    """Walking away from the nearest point ends in holes, the deepest at the covering radius."""
    if lattice.dim > 8 or lattice.covering_radius is None:
        pytest.skip("not known, or random walks miss the deep holes")
    x = uniform(lattice, 300, rng)
    deepest = 0.0
    for step in torch.logspace(-1, -4, 200).tolist():
        away = x - lattice.nearest_point(x)
        deepest = max(deepest, away.norm(dim=-1).max().item())
        x = x + step * away + step * 0.3 * torch.randn(x.shape, generator=rng, dtype=x.dtype)
    assert deepest <= lattice.covering_radius + 1e-9
    assert deepest > 0.97 * lattice.covering_radius


def test_autocast_changes_nothing(lattice: Lattice, rng: torch.Generator) -> None:
    x, log_s = uniform(lattice, 50, rng).float(), scales(lattice, 50, rng).float()
    uniforms = torch.rand(200, lattice.dim, generator=rng)

    def results() -> list[torch.Tensor]:
        return [lattice.nearest_point(x), lattice.log_theta(x, log_s), lattice.dither(uniforms)]

    expected = results()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(map(torch.equal, results(), expected))
    narrow = lattice.dither(uniforms.bfloat16())
    assert narrow.dtype == torch.bfloat16
    if lattice.covering_radius is not None:
        assert narrow.double().norm(dim=-1).max() <= 1.01 * lattice.covering_radius


# ---- the theta series ---------------------------------------------------------------------------


def test_log_theta_is_the_sum_over_the_lattice(lattice: Lattice, rng: torch.Generator) -> None:
    y = lattice.sample_dither((4,), rng, dtype=torch.float64)
    log_s = scales(lattice, 4, rng) - (0.5 if lattice.dim > 4 else 0)
    value = lattice.log_theta(y, log_s)
    for y_1, log_s_1, value_1 in zip(y, log_s, value, strict=True):
        s = log_s_1.exp()
        farthest = math.sqrt(2 * (20 - value_1.item()))  # what is left out is below e^-20
        _, points = points_within((lattice.basis / s).numpy(), (y_1 / s)[None].numpy(), farthest)
        expected = torch.tensor(points).square().sum(-1).div(-2).logsumexp(0)
        assert value_1.item() == pytest.approx(expected.item(), abs=2e-6)


def test_log_theta_has_the_period_of_the_lattice(lattice: Lattice, rng: torch.Generator) -> None:
    y, log_s = uniform(lattice, 50, rng), scales(lattice, 50, rng)
    moved = lattice.log_theta(y + lattice_points(lattice, 50, rng), log_s)
    torch.testing.assert_close(moved, lattice.log_theta(y, log_s), rtol=1e-7, atol=1e-7)


def test_log_theta_narrow_limit(lattice: Lattice, rng: torch.Generator) -> None:
    """As s → 0 the nearest point is all there is."""
    y = uniform(lattice, 50, rng)
    log_s = torch.tensor(-7.0, dtype=torch.float64)
    energy = ((y - lattice.nearest_point(y)) / log_s.exp()).square().sum(-1) / 2
    torch.testing.assert_close(lattice.log_theta(y, log_s), -energy, rtol=1e-6, atol=2.0)


def test_log_theta_wide_limit(lattice: Lattice, rng: torch.Generator) -> None:
    """As s → ∞ the sum is the integral over V (Poisson)."""
    y, log_s = uniform(lattice, 50, rng), scales(lattice, 50, rng) + 3.5
    integral = log_s.sum(-1) + lattice.dim * math.log(2 * math.pi) / 2 - math.log(lattice.volume)
    torch.testing.assert_close(lattice.log_theta(y, log_s), integral, rtol=1e-9, atol=1e-9)


def test_log_theta_gradients(lattice: Lattice, rng: torch.Generator) -> None:
    y = lattice.sample_dither((2,), rng, dtype=torch.float64).requires_grad_()
    log_s = scales(lattice, 1, rng).squeeze(0).requires_grad_()
    assert torch.autograd.gradcheck(lattice.log_theta, (y, log_s), fast_mode=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_theta_is_finite(lattice: Lattice, dtype: torch.dtype, rng: torch.Generator) -> None:
    y = torch.cat([uniform(lattice, 8, rng), lattice_points(lattice, 8, rng) / 2]).to(dtype)
    y.requires_grad_()
    for log_s in (-16.0, -4.0, 0.0, 4.0, 16.0):
        s = torch.full((lattice.dim,), log_s, dtype=dtype, requires_grad=True)
        value = lattice.log_theta(y, s)
        gradients = torch.autograd.grad(value.sum(), (y, s))
        assert all(v.isfinite().all() for v in (value, *gradients))


def test_log_theta_broadcasts(lattice: Lattice, rng: torch.Generator) -> None:
    y = uniform(lattice, 6, rng).view(2, 3, lattice.dim)
    for shape in [(), (1,), (lattice.dim,), (3, 1), (2, 1, lattice.dim)]:
        log_s = torch.full(shape, -0.3, dtype=torch.float64)
        full = lattice.log_theta(y, log_s.expand_as(y))
        assert full.shape == (2, 3)
        torch.testing.assert_close(lattice.log_theta(y, log_s), full)
    assert lattice.log_theta(y.bfloat16(), torch.tensor(0.0)).dtype == torch.bfloat16


def test_one_structure_has_two_readings(lattice: Lattice, rng: torch.Generator) -> None:
    """Folded over (max, +) it is the largest term of the sum: at equal scales the distance."""
    if not isinstance(lattice, TrellisLattice):
        pytest.skip("no fold of its own")
    y, log_s = uniform(lattice, 50, rng), scales(lattice, 50, rng)
    distance = (y - lattice.nearest_point(y)).square().sum(-1)
    largest = lattice._fold(y, torch.zeros(lattice.dim, dtype=torch.float64), MAX)
    torch.testing.assert_close(largest, -distance / 2, rtol=1e-9, atol=1e-9)
    for shrink, slack in ((0.0, 20.0), (-6.0, 1.0)):  # as s → 0 the others vanish
        excess = lattice.log_theta(y, log_s + shrink) - lattice._fold(y, log_s + shrink, MAX)
        assert excess.min() > -1e-6 and excess.max() < slack
