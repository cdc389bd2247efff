"""The paper's theory on every lattice: Crypto-Lemma, Theorem 1, and the rates that follow.

All are statements about expectations, tested within Monte-Carlo error at fixed seeds.
"""

from __future__ import annotations

import math

import pytest
import torch
from conftest import generator
from scaled_code import ScaledCode
from torch import Tensor

from onmt_lattice.bottlenecks import make_bottleneck
from onmt_lattice.lattices import Lattice, lattice_names, make_lattice
from onmt_lattice.noise import SentenceNoise, StreamNoise

F64 = torch.float64
CONVOLVED, DISCRETE = "convolved_gaussian", "discrete_gaussian"
NAMES = [name for name in ("Z", "A2", "D4", "E8", "BW16", "Leech") if name in lattice_names()]
CODES = [(CONVOLVED, "Z"), (CONVOLVED, "A2"), *((DISCRETE, name) for name in NAMES)]
STANDARD_ERRORS = 4.0


def unit(name: str) -> Lattice:
    """Return the lattice at the scale of the bottleneck: its dither has second moment 1."""
    return make_lattice(name).with_second_moment(1.0)


def samples(lattice: Lattice) -> int:
    """Return how many points fit the time of a test; the higher dimensions average more each."""
    return {1: 100_000, 2: 100_000, 4: 50_000, 8: 25_000, 16: 10_000, 24: 3_000}[lattice.dim]


def skewed(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return an X that is not Gaussian, not centred and not white: a mixture of exponentials."""
    g = generator(seed)
    x = torch.empty(shape, dtype=F64).exponential_(1.0, generator=g)
    x = x * torch.where(torch.rand(shape, generator=g) < 0.3, -2.0, 1.0)
    spread = torch.linspace(0.3, 3.0, shape[-1], dtype=F64)
    return x * spread + torch.linspace(-1, 2, shape[-1], dtype=F64)


def quantized(lattice: Lattice, x: Tensor, seed: int) -> Tensor:
    """Return Z − U, Z = K(X + U)."""
    u = lattice.sample_dither(x.shape[:-1], generator(seed), dtype=F64)
    return lattice.nearest_point(x + u) - u


def relaxed(lattice: Lattice, x: Tensor, seed: int) -> Tensor:
    """Return X − U."""
    return x - lattice.sample_dither(x.shape[:-1], generator(seed), dtype=F64)


def standard_errors_apart(a: Tensor, b: Tensor) -> Tensor:
    """Return the difference of the means over dim 0 of independent samples, in standard errors."""
    error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
    return (a.mean(0) - b.mean(0)).abs() / error.clamp_min(1e-300)


def kolmogorov_smirnov(a: Tensor, b: Tensor) -> float:
    """Return √(N/2) times the largest gap of two empirical CDFs of N; > 2.2 once in 10⁴."""
    both = torch.cat([a, b]).sort().values
    cdfs = [torch.searchsorted(v.sort().values, both, right=True) for v in (a, b)]
    return (cdfs[0] - cdfs[1]).abs().max().item() / len(a) * math.sqrt(len(a) / 2)


def features(y: Tensor) -> Tensor:
    """Return functions of Y ``(N, n)`` whose means pin its law: moments and waves."""
    g = generator(99)
    directions = torch.randn(y.shape[1], 12, generator=g, dtype=F64)
    along = y @ (directions / directions.norm(dim=0))
    pairs = (y.unsqueeze(2) * y.unsqueeze(1)).flatten(1)
    waves = [(k * along).cos() for k in (1.0, 2.0, 4.0)] + [(k * along).sin() for k in (1.0, 2.0)]
    return torch.cat([y, pairs, along**3, along**4, *waves], 1)


# The Crypto-Lemma


@pytest.mark.parametrize("name", NAMES)
def test_the_noise_is_independent_of_x(name: str) -> None:
    lattice = unit(name)
    x = skewed((min(samples(lattice), 40_000), lattice.dim), seed=0)
    y = [channel(lattice, x, seed) for seed, channel in ((1, quantized), (2, relaxed))]
    a, b = (v - x for v in y)
    assert standard_errors_apart(features(a), features(b)).max() < 5
    assert kolmogorov_smirnov(y[0].sum(1), y[1].sum(1)) < 2.2
    for test in (x, (x / lattice.scale * math.pi).cos(), x.sign()):  # the second sees the cells
        centred = test - test.mean(0)
        product = centred.unsqueeze(2) * a.unsqueeze(1)
        error = product.std(0) / math.sqrt(len(x))
        assert (product.mean(0).abs() / error).max() < 5


# Theorem 1


def mismatched_code(name: str, lattice: Lattice) -> ScaledCode:
    """Return a code whose prior has another mean, other scales and another shape than X."""
    return ScaledCode(name, lattice, torch.linspace(0.5, -0.5, lattice.dim))


def costs(code: ScaledCode, y: Tensor, seed: int) -> Tensor:
    return -code.log_prob(y.unsqueeze(1), StreamNoise(generator(seed)))[:, 0].detach()


@pytest.mark.parametrize(("code_name", "name"), CODES)
@pytest.mark.parametrize("source", ["skewed", "one point"])
def test_codewords_are_as_long_as_the_relaxed_cost_in_expectation(
    code_name: str, name: str, source: str
) -> None:
    lattice = unit(name)
    code = mismatched_code(code_name, lattice)
    count = 20_000 if (code_name, name) == (CONVOLVED, "A2") else samples(lattice)
    x = skewed((count, lattice.dim), seed=0)
    if source == "one point":
        x = x[:1].expand(count, -1)
    real, training = quantized(lattice, x, 1), relaxed(lattice, x, 2)
    a, b = costs(code, real, 3), costs(code, training, 4)
    assert standard_errors_apart(a, b) < STANDARD_ERRORS
    assert a.var() > 0


@pytest.mark.parametrize("shift", [0.0, 0.7, 30.0])
@pytest.mark.parametrize("log_s", [-2.0, 0.0, 3.0])
@pytest.mark.parametrize("code_name", [CONVOLVED, DISCRETE])
def test_theorem_1_on_the_line_is_exact(code_name: str, log_s: float, shift: float) -> None:
    """Both expectations over U by the same fine grid, X fixed: no Monte-Carlo error at all."""
    lattice = unit("Z")
    code = ScaledCode(code_name, lattice, log_s)
    grid = (torch.arange(20_000, dtype=F64) + 0.5) / 20_000
    u = lattice.dither(grid[:, None])
    x = torch.tensor([shift], dtype=F64)
    real, training = lattice.nearest_point(x + u) - u, x - u
    means = [costs(code, y, 0).mean().item() for y in (real, training)]
    assert means[0] == pytest.approx(means[1], rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_bottlenecks_two_rates_agree(name: str) -> None:
    """As shipped: in float32, through the maps, with the noise of evaluation."""
    bottleneck = make_bottleneck("lattice", 48, lattice=name, bottleneck_dim=48).eval()
    indices = list(range(2000 if name != "Leech" else 600))
    x = skewed((len(indices), 48), seed=0).float()
    with torch.no_grad():
        real = bottleneck.quantized(x, SentenceNoise(0, indices))
        training = bottleneck.relaxed(x, SentenceNoise(1, indices))
        undisturbed = bottleneck.map_out(bottleneck.map_in(x))
    assert standard_errors_apart(real.rate_nats, training.rate_nats) < STANDARD_ERRORS
    squares = [(v.output - undisturbed).square().mean(1) for v in (real, training)]
    assert standard_errors_apart(*squares) < STANDARD_ERRORS
    assert squares[0].mean().item() == pytest.approx(1, abs=0.02)  # the maps are orthogonal


# What a Gaussian source costs, in bits per dimension


def gaussian_rate(name: str, log2_snr: float, scales: list[float]) -> float:
    """Return the least rate of the discrete code over ``scales`` in units of Y's deviation.

    The cost of X's own density, whose mean is known, takes most of the Monte-Carlo error away.
    """
    lattice = unit(name)
    n, variance = lattice.dim, 2.0**log2_snr
    x = math.sqrt(variance) * torch.randn(
        samples(lattice) // 4, n, generator=generator(), dtype=F64
    )
    y = relaxed(lattice, x, 1)
    control = 0.5 * (y.square() / (variance + 1) - 1).mean()
    rates = []
    for scale in scales:
        code = ScaledCode(DISCRETE, lattice, math.log(scale) + 0.5 * math.log(variance + 1))
        rates.append(costs(code, y, 0).mean() / n - control)
    return torch.stack(rates).min().item() / math.log(2)


@pytest.mark.parametrize("name", NAMES)
def test_at_fine_resolution_the_excess_is_the_space_filling_loss(name: str) -> None:
    """Over R(D) = ½ log2 σ²/D of the Gaussian source, D = 1."""
    for log2_snr in (10.0, 16.0):
        excess = gaussian_rate(name, log2_snr, [1.0]) - 0.5 * log2_snr
        assert excess == pytest.approx(make_lattice(name).space_filling_loss, abs=2e-3)


@pytest.mark.parametrize("log2_snr", [-5.0, -2.0, 0.0, 2.0, 5.0])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "Leech"])
def test_no_code_beats_the_mutual_information_and_a_fitted_one_comes_near(
    name: str, log2_snr: float
) -> None:
    """The channel adds white noise of variance 1: I(X; Y) ≥ ½ log2(1 + σ²), Gaussian noise's.

    Its law is uniform on the cell, so h(Y) is at most the Gaussian's and the rate of the best
    code at most ½ log2(1 + σ²) + ½ log2 2πeG; the discrete code is within 0.005 bits of that.
    """
    information = 0.5 * math.log2(1 + 2.0**log2_snr)
    rate = gaussian_rate(name, log2_snr, [0.4, 0.55, 0.7, 0.85, 1.0])
    assert information < rate < information + make_lattice(name).space_filling_loss + 0.005


def line_rate(code_name: str, deviation: float, log_s: float) -> float:
    """Return the rate on Z of X ~ N(0, deviation²), in nats, by quadrature over Y = X − U."""
    lattice = unit("Z")
    code = ScaledCode(code_name, lattice, log_s)
    w, reach = lattice.volume, lattice.volume / 2 + 9 * deviation
    y = torch.linspace(-reach, reach, 20_001, dtype=F64)
    edges = torch.special.ndtr(torch.stack([y + w / 2, y - w / 2]) / deviation)
    density = (edges[0] - edges[1]) / w
    assert (density.sum() * y.diff()[0]).item() == pytest.approx(1, abs=1e-6)
    return float((costs(code, y[:, None], 0) * density).sum() * y.diff()[0])


@pytest.mark.parametrize("snr", [0.01, 0.1, 1.0, 10.0, 1000.0])
def test_on_the_line_the_two_codes_are_within_1_5_percent(snr: float) -> None:
    """X̂ matched to X for the convolved code, which is then the best there is."""
    deviation = math.sqrt(snr)
    best = line_rate(CONVOLVED, deviation, math.log(deviation))
    around = [0.5 * math.log(snr + 1) - 0.05 * k for k in range(20)]
    discrete = min(line_rate(DISCRETE, deviation, log_s) for log_s in around)
    assert best <= discrete < 1.015 * best
    for off in (-0.2, 0.2):
        assert line_rate(CONVOLVED, deviation, math.log(deviation) + off) > best
    assert best / math.log(2) > 0.5 * math.log2(1 + snr)
