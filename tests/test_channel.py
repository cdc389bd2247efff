"""The two noisy channels: a Gaussian's divergence, and a lattice's points, dither and price."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import normal
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bottlenecks import F64, M, made, sentences
from torch import Tensor, nn

from onmt_lattice.bottlenecks import (
    GaussianBottleneck,
    LatticeBottleneck,
    LatticeChannel,
    make_bottleneck,
)
from onmt_lattice.bottlenecks.channel import gaussian_kl_nats
from onmt_lattice.codes import ConvolvedGaussianCode, DiscreteGaussianCode
from onmt_lattice.lattices import lattice_names

# One of each kind: all lattices obey their own laws already, in test_lattices.
every_lattice = pytest.mark.parametrize("name", ["Z", "A2", "E8", "Leech", "conv4-8"])


@settings(derandomize=True, deadline=None, max_examples=50)
@given(mean=st.floats(-100, 100), log_sigma=st.floats(-10, 5))
def test_the_kl_is_that_of_torch(mean: float, log_sigma: float) -> None:
    got = gaussian_kl_nats(torch.tensor(mean, dtype=F64), torch.tensor(log_sigma, dtype=F64))
    sigma = torch.tensor(log_sigma, dtype=F64).exp()
    channel = torch.distributions.Normal(torch.tensor(mean, dtype=F64), sigma)
    prior = torch.distributions.Normal(torch.zeros((), dtype=F64), torch.ones((), dtype=F64))
    expected = torch.distributions.kl_divergence(channel, prior)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-13)
    assert got >= 0


def test_the_kl_keeps_its_digits_near_nothing() -> None:
    tiny = torch.tensor([1e-8, -1e-8], dtype=F64)
    # σ = 1 + δ costs δ² to second order.
    assert gaussian_kl_nats(0 * tiny, tiny).tolist() == pytest.approx([1e-16] * 2, rel=0.5)
    assert gaussian_kl_nats(tiny, 0 * tiny).tolist() == pytest.approx([0.5e-16] * 2)


def test_gaussian_is_the_channel_it_says() -> None:
    bottleneck, x = made("gaussian", {"bottleneck_dim": 4}), normal(6, M)
    assert isinstance(bottleneck, GaussianBottleneck)
    channel = bottleneck.channel
    channel.center.copy_(normal(4, seed=9))
    output, rate, symbols, _ = bottleneck(x, sentences(6))
    sigma, prior = channel.log_sigma.exp(), channel.log_prior.exp()
    mean = bottleneck.map_in(x)
    y = mean + sigma * sentences(6).normal(mean, 4)
    torch.testing.assert_close(output, bottleneck.map_out(y))
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, sigma), torch.distributions.Normal(channel.center, prior)
    )
    torch.testing.assert_close(rate, kl.sum(1))
    assert symbols is None


@pytest.mark.parametrize(("name", "options"), [("gaussian", {}), ("lattice", {"lattice": "A2"})])
def test_the_unit_prior_is_the_paper_s_and_no_parameter(name: str, options: dict[str, Any]) -> None:
    learned, unit = (make_bottleneck(name, M, prior=p, **options) for p in ("learned", "unit"))
    parameters = dict(unit.named_parameters())
    assert {"channel.log_prior"} == dict(learned.named_parameters()).keys() - parameters.keys()
    assert learned.state_dict().keys() == unit.state_dict().keys()
    assert not torch.as_tensor(unit.channel.log_prior).any()


def placed(channel: LatticeChannel, x: Tensor) -> Tensor:
    """Return ``x`` ``(batch, d)`` in its blocks, ``(batch, d/n, n)``."""
    padded = nn.functional.pad(x, (0, len(channel.permutation) - channel.dim))
    return padded[:, channel.permutation].view(len(x), -1, channel.lattice.dim)


def priced(channel: LatticeChannel, y: Tensor) -> Tensor:
    log_s = placed(channel, channel.log_scale[None, : channel.dim])[0]
    log_s = channel.log_scale[channel.permutation].view_as(log_s)
    return -channel.code.log_prob(y, log_s, sentences(len(y))).sum(1)


def lattice_bottleneck(name: str, seed: int = 1) -> LatticeBottleneck:
    """Return one with random parameters, and random coordinates in the order of its blocks."""
    bottleneck = made("lattice", {"lattice": name}, seed=seed)
    assert isinstance(bottleneck, LatticeBottleneck)
    bottleneck.channel.sort_coordinates()
    bottleneck.channel.center.copy_(normal(M, seed=7))
    return bottleneck


@every_lattice
def test_the_output_is_the_lattice_point_less_its_dither(name: str) -> None:
    bottleneck, x = lattice_bottleneck(name).eval(), 3 * normal(6, M)
    channel, mean = bottleneck.channel, bottleneck.map_in(x)
    output, rate, symbols, _ = bottleneck(x, sentences(6))
    lattice, sigma = channel.lattice, channel.log_sigma.exp()
    u = channel.dither(mean, sentences(6))
    assert symbols is not None and symbols.shape == (6, len(channel.permutation))
    z = lattice.point(symbols.view(6, -1, lattice.dim))
    assert torch.equal(lattice.coordinates(z).flatten(1), symbols)
    noise = placed(channel, (mean - channel.center) / sigma) - (z - u)
    torch.testing.assert_close(lattice.nearest_point(noise), torch.zeros_like(noise))
    torch.testing.assert_close(rate, priced(channel, z - u))
    y = torch.empty(6, len(channel.permutation), dtype=F64)
    y[:, channel.permutation] = (z - u).flatten(1)
    expected = bottleneck.map_out(channel.center + sigma * y[:, :M])
    torch.testing.assert_close(output, expected)


@every_lattice
def test_the_relaxed_channel_adds_dither_and_pays_for_the_sum(name: str) -> None:
    bottleneck, x = lattice_bottleneck(name).train(), normal(6, M)
    channel, mean = bottleneck.channel, bottleneck.map_in(x)
    output, rate, symbols, _ = bottleneck(x, sentences(6))
    sigma = channel.log_sigma.exp()
    y = placed(channel, (mean - channel.center) / sigma) - channel.dither(mean, sentences(6))
    assert symbols is None
    back = torch.empty(6, len(channel.permutation), dtype=F64)
    back[:, channel.permutation] = y.flatten(1)
    torch.testing.assert_close(output, bottleneck.map_out(channel.center + sigma * back[:, :M]))
    torch.testing.assert_close(rate, priced(channel, y))


@every_lattice
def test_training_puts_coordinates_of_alike_scale_together(name: str) -> None:
    bottleneck = made("lattice", {"lattice": name, "bottleneck_dim": 40}).train()
    assert isinstance(bottleneck, LatticeBottleneck)
    channel = bottleneck.channel
    bottleneck(normal(3, M), sentences(3))
    assert sorted(channel.permutation.tolist()) == list(range(len(channel.permutation)))
    log_s = channel.log_scale.detach().clone()
    log_s[40:] = -1e9
    by_block = log_s[channel.permutation].view(-1, channel.lattice.dim)
    order = channel.lattice.coordinate_ranking
    assert (by_block[:, order].flatten().diff() <= 0).all()


@every_lattice
@pytest.mark.parametrize("bottleneck_dim", [0, 1, 24, 25])
def test_padded_coordinates_are_the_least_multiple_of_the_lattices_dimension(
    name: str, bottleneck_dim: int
) -> None:
    bottleneck = make_bottleneck("lattice", M, lattice=name, bottleneck_dim=bottleneck_dim)
    assert isinstance(bottleneck, LatticeBottleneck)
    channel, asked = bottleneck.channel, bottleneck_dim or M
    n = channel.lattice.dim
    assert (
        len(channel.permutation) == channel.blocks * n
        and asked <= len(channel.permutation) < asked + n
    )
    output, rate, _, _ = bottleneck(normal(3, M).float(), sentences(3))
    assert output.shape == (3, M) and rate.shape == (3,)


def test_the_default_code_is_exact() -> None:
    for name in lattice_names():
        bottleneck = make_bottleneck("lattice", M, lattice=name)
        assert isinstance(bottleneck, LatticeBottleneck)
        exact = ConvolvedGaussianCode if name == "Z" else DiscreteGaussianCode
        assert type(bottleneck.channel.code) is exact
    chosen = make_bottleneck("lattice", M, lattice="Z", lattice_code="discrete_gaussian")
    assert isinstance(chosen, LatticeBottleneck)
    assert type(chosen.channel.code) is DiscreteGaussianCode
