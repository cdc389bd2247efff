"""Theorem 1 on the line and in the bottleneck; the rest is in test_theory_experiments.py."""

from __future__ import annotations

import pytest
import torch
from conftest import generator
from scaled_code import ScaledCode, unit
from torch import Tensor

from onmt_lattice.bottlenecks import make_bottleneck
from onmt_lattice.lattices import lattice_names
from onmt_lattice.noise import SentenceNoise, StreamNoise

F64 = torch.float64
CONVOLVED, DISCRETE = "convolved_gaussian", "discrete_gaussian"
NAMES = [name for name in ("Z", "A2", "D4", "E8", "BW16", "Leech") if name in lattice_names()]
STANDARD_ERRORS = 4.0


def skewed(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return an X that is not Gaussian, not centred and not white: a mixture of exponentials."""
    g = generator(seed)
    x = torch.empty(shape, dtype=F64).exponential_(1.0, generator=g)
    x = x * torch.where(torch.rand(shape, generator=g) < 0.3, -2.0, 1.0)
    spread = torch.linspace(0.3, 3.0, shape[-1], dtype=F64)
    return x * spread + torch.linspace(-1, 2, shape[-1], dtype=F64)


def standard_errors_apart(a: Tensor, b: Tensor) -> Tensor:
    """Return the difference of the means over dim 0 of independent samples, in standard errors."""
    error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
    return (a.mean(0) - b.mean(0)).abs() / error.clamp_min(1e-300)


def costs(code: ScaledCode, y: Tensor, seed: int) -> Tensor:
    return -code.log_prob(y.unsqueeze(1), StreamNoise(generator(seed)))[:, 0].detach()


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
