"""Codes on lattice points: probabilities, gradients, and what happens far out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import generator
from enumeration import points_within
from hypothesis import given, settings
from hypothesis import strategies as st
from scaled_code import ScaledCode, unit
from torch import Tensor

from onmt_lattice.codes import make_code
from onmt_lattice.codes.convolved_gaussian import log_normal_interval
from onmt_lattice.lattices import Lattice
from onmt_lattice.noise import SentenceNoise, StreamNoise

F64 = torch.float64
CONVOLVED, DISCRETE = "convolved_gaussian", "discrete_gaussian"
SMALL = ["Z", "A2", "A3*", "D4", "E8", "BW16", "Leech", "conv4-8", "z4conv64-12"]
EXACT = [(CONVOLVED, "Z"), *((DISCRETE, name) for name in SMALL)]
EVERY = [*EXACT, *((CONVOLVED, name) for name in ("A2", "E8"))]
LAWS = settings(derandomize=True, deadline=None, max_examples=40)


class NoNoise:
    """What a code that is exact may be given: it never asks."""

    def uniform(self, like: Tensor, dim: int) -> Tensor:
        raise AssertionError("an exact code drew noise")

    normal = uniform


def random_scales(lattice: Lattice, low: float, high: float, seed: int = 0) -> Tensor:
    uniform = torch.rand(lattice.dim, generator=generator(seed), dtype=F64)
    return math.log(low) + uniform * math.log(high / low)


def around(lattice: Lattice, u: Tensor, margin: float) -> Tensor:
    """Return z − u ``(points, n)`` for all points z up to √margin farther than the nearest."""
    radius = math.sqrt((u - lattice.nearest_point(u)).square().sum().item() + margin)
    _, y = points_within(lattice.basis.numpy(), u[None].numpy(), radius)
    return torch.from_numpy(y)


def log_prob(code: ScaledCode, y: Tensor) -> Tensor:
    """Return log P ``(points,)`` at ``y`` ``(points, n)``, of a code on one block."""
    return code.log_prob(y.unsqueeze(1), NoNoise())[:, 0].detach()


@pytest.mark.parametrize(("code_name", "name"), EXACT)
def test_probabilities_sum_to_one_over_the_lattice(code_name: str, name: str) -> None:
    lattice = unit(name)
    high = 0.9 if lattice.dim <= 8 else 0.6  # in 24 dimensions a wide prior reaches 10⁶ points
    for seed in range(2):
        log_s = random_scales(lattice, high / 4, high, seed)
        u = 5 * torch.randn(lattice.dim, generator=generator(seed), dtype=F64)
        y = around(lattice, u, 2 * 25 * high**2)
        total = log_prob(ScaledCode(code_name, lattice, log_s), y).exp().sum().item()
        assert total == pytest.approx(1, abs=1e-6)  # the points left out


@pytest.mark.parametrize("name", SMALL)
def test_the_discrete_code_is_a_gaussian_on_the_shifted_lattice(name: str) -> None:
    lattice = unit(name)
    log_s = random_scales(lattice, 0.3, 3.0)
    u = torch.randn(lattice.dim, generator=generator(), dtype=F64)
    steps = torch.randint(-3, 4, (50, lattice.dim), generator=generator())
    y = lattice.point(steps) - u
    got = log_prob(ScaledCode(DISCRETE, lattice, log_s), y)
    energy = 0.5 * (y / log_s.exp()).square().sum(-1)
    torch.testing.assert_close(got - got[0], energy[0] - energy)


def test_the_monte_carlo_estimate_is_unbiased_and_its_logarithm_overstates_the_rate() -> None:
    lattice = unit("A2")
    code = ScaledCode(CONVOLVED, lattice, -0.5)
    y = torch.tensor([0.9, -1.4], dtype=F64)
    side = (torch.arange(600, dtype=F64) + 0.5) / 600
    cell = lattice.dither(torch.cartesian_prod(side, side))  # a fine grid, folded to the cell
    log_density = -0.5 * ((y + cell) * math.exp(0.5)).square().sum(1) + 1 - math.log(2 * math.pi)
    truth = log_density.exp().mean().item() * lattice.volume
    log_estimates = code.log_prob(y.expand(20_000, 1, 2), StreamNoise(generator()))[:, 0].detach()

    def errors_from(values: Tensor, expected: float) -> float:
        return (values.mean().item() - expected) / (values.std().item() / math.sqrt(len(values)))

    assert abs(errors_from(log_estimates.exp(), truth)) < 4
    assert errors_from(-log_estimates, -math.log(truth)) > 10


@pytest.mark.parametrize(("code_name", "name"), EXACT)
def test_each_block_is_coded_by_scales_of_its_own(code_name: str, name: str) -> None:
    lattice = unit(name)
    y = 3 * torch.randn(20, 3, lattice.dim, generator=generator(), dtype=F64)
    scales = [random_scales(lattice, 0.5, 2.0, seed) for seed in range(2)]
    scales.append(torch.tensor([0.7], dtype=F64))  # one serves all that it broadcasts to
    each = torch.stack([s.expand(lattice.dim) for s in scales])
    together = make_code(code_name, lattice).log_prob(y, each, NoNoise())
    alone = [log_prob(ScaledCode(code_name, lattice, s), y[:, k]) for k, s in enumerate(scales)]
    torch.testing.assert_close(together, torch.stack(alone, 1))
    shared = make_code(code_name, lattice).log_prob(y[:, 2:], scales[2][None], NoNoise())
    torch.testing.assert_close(shared, together[:, 2:])


def integrated(y: float, s: float, width: float) -> float:
    """Return log P(|X̂ − y| < width/2) by Gauss-Legendre quadrature about the largest density."""
    low, high = y - width / 2, y + width / 2
    peak = min(max(0.0, low), high)
    reach = min(12 * s, 40 * s * s / abs(peak)) if peak else 12 * s
    a, b = max(low, peak - reach), min(high, peak + reach)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x = (a + b) / 2 + (b - a) / 2 * nodes
    log_density = -0.5 * (x / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)
    top = log_density.max()
    return float(top + math.log((b - a) / 2 * np.sum(weights * np.exp(log_density - top))))


@LAWS
@given(y=st.floats(-100, 100), log_s=st.floats(-5, 8), width=st.floats(0.1, 10))
def test_the_closed_form_agrees_with_quadrature(y: float, log_s: float, width: float) -> None:
    got = log_normal_interval(
        torch.tensor(y, dtype=F64), torch.tensor(log_s, dtype=F64), width
    ).item()
    assert got == pytest.approx(integrated(y, math.exp(log_s), width), rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(("code_name", "name"), EVERY)
@pytest.mark.parametrize("centre", [-1.5, 1.0])
def test_gradients_agree_with_finite_differences(code_name: str, name: str, centre: float) -> None:
    lattice = unit(name)
    g = generator()
    log_s = centre + 0.3 * torch.randn(2, lattice.dim, generator=g, dtype=F64)
    code = ScaledCode(code_name, lattice, log_s, blocks=2)
    y = (2 * torch.randn(1, 2, lattice.dim, generator=g, dtype=F64)).requires_grad_()

    def cost(y: Tensor, log_scale: Tensor) -> Tensor:
        """Gradcheck moves the parameter itself, in place."""
        return code.log_prob(y, SentenceNoise(0, [0]))

    assert torch.autograd.gradcheck(cost, (y, code.log_scale), fast_mode=lattice.dim > 4)


@pytest.mark.parametrize("ratio", [1e4, 1e6, 1e8, 1e10])
@pytest.mark.parametrize("log_s", [-8.0, 0.0, 5.0])
def test_the_gradient_far_out_is_that_of_the_nearer_edge(log_s: float, ratio: float) -> None:
    s = math.exp(log_s)
    edge, width = ratio * s, 0.5 * s
    y = torch.tensor(edge + width / 2, dtype=F64, requires_grad=True)
    t = torch.tensor(log_s, dtype=F64, requires_grad=True)
    log_normal_interval(y, t, width).backward()
    assert y.grad is not None and t.grad is not None
    assert y.grad.item() == pytest.approx(-ratio / s, rel=1e-7)
    assert t.grad.item() == pytest.approx(ratio**2, rel=1e-7)


LOG_SCALES = [-1e4, -16.0, -8.0, -3.0, 0.0, 3.0, 16.0, 1e4]


@pytest.mark.parametrize(("code_name", "name"), EVERY)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_all_is_finite_at_every_extreme(code_name: str, name: str, dtype: torch.dtype) -> None:
    lattice = unit(name)
    cell = lattice.sample_dither((4, 1), generator(), dtype=dtype)
    far = torch.tensor([0.0, 1e-30, 1.0, 1e3, 1e6, 1e10], dtype=dtype)
    for log_scale in LOG_SCALES:
        code = ScaledCode(code_name, lattice, log_scale)
        y = (cell + far[:, None, None, None]).flatten(0, 1).requires_grad_()
        value = code.log_prob(y, StreamNoise(generator()))
        value.sum().backward()
        for tensor in (value, y.grad, code.log_scale.grad):
            assert tensor is not None and tensor.isfinite().all(), log_scale


@pytest.mark.parametrize(("code_name", "name"), EXACT)
def test_no_codeword_is_shorter_than_nothing(code_name: str, name: str) -> None:
    lattice = unit(name)
    y = 3 * torch.randn(200, lattice.dim, generator=generator(), dtype=F64)
    for log_scale in LOG_SCALES:
        code = ScaledCode(code_name, lattice, log_scale)
        for points in (y, lattice.dither(y.remainder(1))):
            # In 24 dimensions, energies of up to 10⁸ cancel to some 10⁻⁷.
            assert log_prob(code, points).max() <= 1e-6


@pytest.mark.parametrize(("code_name", "name"), EXACT)
def test_the_rate_tends_to_nothing_with_the_prior_scale(code_name: str, name: str) -> None:
    lattice = unit(name)
    y = -lattice.sample_dither((200,), generator(), dtype=F64)  # μ = 0
    rates = torch.stack(
        [
            -log_prob(ScaledCode(code_name, lattice, log_s), y).mean()
            for log_s in (0.0, -1.0, -2.0, -3.0, -6.0, -1e4)
        ]
    )
    assert (rates.diff() <= 1e-7).all()
    assert rates[0] > 0.04 * lattice.dim
    assert rates[-1].abs() < 1e-6


@pytest.mark.parametrize(("code_name", "name"), EXACT)
@pytest.mark.parametrize("log_s", [4.0, 16.0])
def test_under_a_wide_prior_the_rate_is_the_density_times_the_volume(
    code_name: str, name: str, log_s: float
) -> None:
    lattice = unit(name)
    t = torch.randn(50, lattice.dim, generator=generator(), dtype=F64)
    log_density = (-0.5 * t.square() - log_s - 0.5 * math.log(2 * math.pi)).sum(-1)
    got = log_prob(ScaledCode(code_name, lattice, log_s), t * math.exp(log_s))
    # Convolving with the cell moves log N(y; 0, s²) by (y²/s² − 1)/2s², to first order.
    bound = 1e-9 if code_name == DISCRETE else t.square().max().item() * math.exp(-2 * log_s) + 1e-9
    torch.testing.assert_close(got, log_density + math.log(lattice.volume), rtol=1e-9, atol=bound)


@pytest.mark.parametrize("code_name", [CONVOLVED, DISCRETE])
def test_a_scale_beyond_its_bounds_acts_as_the_bound(code_name: str) -> None:
    y = torch.linspace(-6, 6, 40, dtype=F64)[:, None]
    code = ScaledCode(code_name, unit("Z"), 0.0)
    for beyond, bound in ((-50.0, code.code.min_log_s), (99.0, code.code.max_log_s)):
        outside, inside = (ScaledCode(code_name, unit("Z"), v) for v in (beyond, bound))
        assert torch.equal(log_prob(outside, y), log_prob(inside, y))
