"""Every bottleneck: its options, shapes, rate and limits; the registry and its extension."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from onmt_lattice.bottlenecks import (
    Bottleneck,
    BottleneckConfig,
    Bottlenecked,
    GaussianBottleneck,
    LatticeBottleneck,
    LatticeChannel,
    base,
    bottleneck_class,
    bottlenecks,
    make_bottleneck,
    option,
    register_bottleneck,
)
from onmt_lattice.bottlenecks.channel import gaussian_kl_nats
from onmt_lattice.codes import ConvolvedGaussianCode, DiscreteGaussianCode
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import lattice_names
from onmt_lattice.noise import SentenceNoise, StreamNoise

F64 = torch.float64
M = 10  # the dimension of X: no multiple of 3, 4, 8, 16 or 24
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("gaussian", {}),
    ("ste_scalar", {"levels": 3}),
    ("ste_vector", {"levels": 3, "vector_dim": 2}),
    ("lattice", {"lattice": "A2", "lattice_code": "convolved_gaussian"}),
    ("lattice", {"lattice": "E8", "prior": "unit"}),
    ("gaussian", {"prior": "unit"}),
    *(("lattice", {"lattice": name}) for name in lattice_names()),
]
NAMES = ["gaussian", "lattice", "none", "ste_scalar", "ste_vector"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=F64)


def made(name: str, options: dict[str, Any], input_dim: int = M, seed: int = 1) -> Bottleneck:
    """Return a float64 bottleneck, every parameter of which is random."""
    bottleneck = make_bottleneck(name, input_dim, **options).double()
    with torch.no_grad():
        for index, parameter in enumerate(bottleneck.parameters()):
            parameter.copy_(0.5 * normal(*parameter.shape, seed=100 * seed + index))
    return bottleneck


def sentences(size: int) -> SentenceNoise:
    return SentenceNoise(5, list(range(size)))


# The laws of every bottleneck


@pytest.mark.parametrize("name", NAMES)
def test_each_declares_options_that_the_command_line_can_offer(name: str) -> None:
    cls = bottlenecks()[name]
    assert cls.name == name and cls.summary
    config = cls.Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.bottleneck_dim = 3  # type: ignore[misc]
    for field in dataclasses.fields(cls.Config):
        assert field.name == "bottleneck_dim" or field.metadata["help"]
        choices = field.metadata.get("choices")
        assert not choices or field.default in choices()
    assert cls.label(dataclasses.asdict(config)).startswith(name)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("bottleneck_dim", [0, 4, 6, 16])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_shapes(
    name: str, options: dict[str, Any], bottleneck_dim: int, dtype: torch.dtype
) -> None:
    bottleneck = make_bottleneck(name, M, bottleneck_dim=bottleneck_dim, **options).to(dtype)
    assert bottleneck.dim == (bottleneck_dim or M)
    for training in (True, False):
        bottleneck.train(training)
        through = bottleneck(normal(7, M).to(dtype), sentences(7))
        assert through.output.shape == (7, M) and through.output.dtype == dtype
        assert through.rate_nats.shape == (7,) and through.rate_nats.dtype == F64
        if through.symbols is not None:
            assert through.symbols.dtype == torch.int64 and through.symbols.shape[0] == 7


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_the_mode_decides_between_the_channels(name: str, options: dict[str, Any]) -> None:
    bottleneck, x = made(name, options), normal(6, M)
    torch.manual_seed(0)
    bottleneck(x, sentences(6))  # a first batch, which fits entries
    for training, channel in ((False, bottleneck.quantized), (True, bottleneck.relaxed)):
        bottleneck.train(training)
        torch.manual_seed(0)
        got = bottleneck(x, sentences(6))
        torch.manual_seed(0)
        expected = channel(x, sentences(6))
        assert torch.equal(got.output, expected.output)
        assert torch.equal(got.rate_nats, expected.rate_nats)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_a_sentence_comes_out_the_same_in_any_batch(name: str, options: dict[str, Any]) -> None:
    bottleneck, x = made(name, options).eval(), normal(6, M)
    together = bottleneck(x, SentenceNoise(3, [4, 8, 15, 16, 23, 42]))
    order = [3, 0, 5]
    apart = bottleneck(x[order], SentenceNoise(3, [16, 4, 42]))
    torch.testing.assert_close(apart.output, together.output[order])
    torch.testing.assert_close(apart.rate_nats, together.rate_nats[order])
    if together.symbols is not None:
        assert torch.equal(apart.symbols, together.symbols[order])


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_the_decoder_gets_what_the_symbols_and_the_noise_say(
    name: str, options: dict[str, Any]
) -> None:
    bottleneck = made(name, options).float().eval()
    through = bottleneck.quantized(3 * normal(7, M).float(), sentences(7))
    if through.symbols is None:
        assert bottleneck.symbols is None
        with pytest.raises(UserError, match="sends nothing discrete: expected a model with"):
            bottleneck.received(torch.zeros(7, M, dtype=torch.int64), sentences(7))
    else:
        assert through.symbols.shape == (7, bottleneck.symbols)
        assert torch.equal(bottleneck.received(through.symbols, sentences(7)), through.output)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_every_parameter_is_trained(name: str, options: dict[str, Any]) -> None:
    bottleneck = made(name, options | {"bottleneck_dim": 8}).train()
    x = normal(40, M).requires_grad_()
    through = bottleneck(x, sentences(40))
    (through.output.square().sum() + through.rate_nats.sum()).backward()
    for key, tensor in [*bottleneck.named_parameters(), ("x", x)]:
        gradient = tensor.grad
        assert gradient is not None and gradient.isfinite().all() and gradient.any(), key


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_evaluation_changes_no_parameter_or_buffer(name: str, options: dict[str, Any]) -> None:
    bottleneck = made(name, options).eval()
    before = {key: value.clone() for key, value in bottleneck.state_dict().items()}
    for channel in (bottleneck, bottleneck.relaxed, bottleneck.quantized):
        channel(normal(9, M), sentences(9))
    assert before.keys() == bottleneck.state_dict().keys()
    for key, value in bottleneck.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_the_state_says_everything(name: str, options: dict[str, Any]) -> None:
    bottleneck, other = made(name, options).eval(), made(name, options, seed=2).eval()
    other.load_state_dict(bottleneck.state_dict())
    x = normal(5, M)
    for a, b in zip(bottleneck(x, sentences(5)), other(x, sentences(5)), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("bottleneck_dim", [0, 4, 24])
def test_reset_makes_the_maps_orthogonal(
    name: str, options: dict[str, Any], bottleneck_dim: int
) -> None:
    bottleneck = made(name, options | {"bottleneck_dim": bottleneck_dim})
    bottleneck.reset_parameters()
    first = {"gaussian": 3.0, "lattice": 3.0, "ste_scalar": 10.0, "ste_vector": 10.0, "none": 1.0}
    for linear, gain in ((bottleneck.map_in, first[name]), (bottleneck.map_out, 1.0)):
        if not isinstance(linear, nn.Linear):
            assert bottleneck.dim == M and not bottleneck.always_maps
            continue
        weight = linear.weight if linear.out_features <= linear.in_features else linear.weight.T
        expected = gain**2 * torch.eye(len(weight), dtype=F64)
        torch.testing.assert_close(weight @ weight.T, expected)
        assert (linear.bias == 0).all()


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_models_pass(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    bottleneck = make_bottleneck(name, M, **options).to(dtype)
    for training in (True, False):
        through = bottleneck.train(training)(normal(5, M).to(dtype), sentences(5))
        assert through.output.dtype == dtype and through.output.isfinite().all()
        assert through.rate_nats.isfinite().all()


# none


def test_none_is_the_identity_at_no_cost() -> None:
    x = normal(4, M)
    output, rate, symbols = make_bottleneck("none", M)(x, StreamNoise())
    assert torch.equal(output, x) and (rate == 0).all() and symbols is None


def test_none_of_another_dimension_is_linear() -> None:
    bottleneck = made("none", {"bottleneck_dim": 3})
    x = normal(4, M)
    out = [bottleneck(v, StreamNoise()).output for v in (x, 2 * x, 0 * x)]
    torch.testing.assert_close(out[1] - out[2], 2 * (out[0] - out[2]))
    assert torch.linalg.matrix_rank(out[0] - out[2]) == 3


# gaussian


@settings(derandomize=True, deadline=None)
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


def test_the_kl_is_the_mean_log_ratio_of_the_densities() -> None:
    mean, log_sigma = torch.tensor([0.7, -2.0], dtype=F64), torch.tensor([-1.0, 0.4], dtype=F64)
    noise = normal(100_000, 2)
    y = mean + log_sigma.exp() * noise
    ratio = 0.5 * (y.square() - noise.square()) - log_sigma
    error = ratio.std(0) / math.sqrt(len(y))
    assert ((ratio.mean(0) - gaussian_kl_nats(mean, log_sigma)).abs() < 4 * error).all()


def test_the_gradient_of_the_kl_agrees_with_finite_differences() -> None:
    inputs = (normal(20).requires_grad_(), normal(20, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(gaussian_kl_nats, inputs)


def test_the_kl_to_a_prior_is_that_to_the_unit_prior_in_its_units() -> None:
    mean, log_sigma, log_prior = normal(20), normal(20, seed=1), normal(20, seed=2)
    expected = gaussian_kl_nats(mean * (-log_prior).exp(), log_sigma - log_prior)
    torch.testing.assert_close(gaussian_kl_nats(mean, log_sigma, log_prior), expected)


def test_gaussian_is_the_channel_it_says() -> None:
    bottleneck, x = made("gaussian", {"bottleneck_dim": 4}), normal(6, M)
    assert isinstance(bottleneck, GaussianBottleneck)
    channel = bottleneck.channel
    channel.center.copy_(normal(4, seed=9))
    output, rate, symbols = bottleneck(x, sentences(6))
    sigma, prior = channel.log_sigma.exp(), channel.log_prior.exp()
    mean = bottleneck.map_in(x)
    y = mean + sigma * sentences(6).normal(mean, 4)
    torch.testing.assert_close(output, bottleneck.map_out(y))
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, sigma), torch.distributions.Normal(channel.center, prior)
    )
    torch.testing.assert_close(rate, kl.sum(1))
    assert symbols is None


@pytest.mark.parametrize("prior", ["learned", "unit"])
def test_gaussian_at_mean_zero_and_unit_variance_costs_nothing(prior: str) -> None:
    bottleneck = make_bottleneck("gaussian", M, prior=prior)
    assert (bottleneck(torch.zeros(3, M), StreamNoise()).rate_nats == 0).all()


@pytest.mark.parametrize(("name", "options"), [("gaussian", {}), ("lattice", {"lattice": "A2"})])
def test_the_unit_prior_is_the_paper_s_and_no_parameter(name: str, options: dict[str, Any]) -> None:
    learned, unit = (make_bottleneck(name, M, prior=p, **options) for p in ("learned", "unit"))
    parameters = dict(unit.named_parameters())
    assert {"channel.log_prior"} == dict(learned.named_parameters()).keys() - parameters.keys()
    assert learned.state_dict().keys() == unit.state_dict().keys()
    assert not torch.as_tensor(unit.channel.log_prior).any()


# lattice


def placed(channel: LatticeChannel, x: Tensor) -> Tensor:
    """Return ``x`` ``(batch, d)`` in its places, ``(batch, d/n, n)``."""
    padded = nn.functional.pad(x, (0, len(channel.places) - channel.dim))
    return padded[:, channel.places].view(len(x), -1, channel.lattice.dim)


def priced(channel: LatticeChannel, y: Tensor) -> Tensor:
    log_s = placed(channel, channel.log_scale[None, : channel.dim])[0]
    log_s = channel.log_scale[channel.places].view_as(log_s)
    return -channel.code.log_prob(y, log_s, sentences(len(y))).sum(1)


def lattice_bottleneck(name: str, seed: int = 1) -> LatticeBottleneck:
    """Return one with random parameters, and random coordinates in its places."""
    bottleneck = made("lattice", {"lattice": name}, seed=seed)
    assert isinstance(bottleneck, LatticeBottleneck)
    bottleneck.channel.place()
    bottleneck.channel.center.copy_(normal(M, seed=7))
    return bottleneck


@pytest.mark.parametrize("name", lattice_names())
def test_the_output_is_the_lattice_point_less_its_dither(name: str) -> None:
    bottleneck, x = lattice_bottleneck(name).eval(), 3 * normal(6, M)
    channel, mean = bottleneck.channel, bottleneck.map_in(x)
    output, rate, symbols = bottleneck(x, sentences(6))
    lattice, sigma = channel.lattice, channel.log_sigma.exp()
    u = channel.dither(mean, sentences(6))
    assert symbols is not None and symbols.shape == (6, len(channel.places))
    z = lattice.point(symbols.view(6, -1, lattice.dim))
    assert torch.equal(lattice.coordinates(z).flatten(1), symbols)
    noise = placed(channel, (mean - channel.center) / sigma) - (z - u)
    torch.testing.assert_close(lattice.nearest_point(noise), torch.zeros_like(noise))
    torch.testing.assert_close(rate, priced(channel, z - u))
    y = torch.empty(6, len(channel.places), dtype=F64)
    y[:, channel.places] = (z - u).flatten(1)
    expected = bottleneck.map_out(channel.center + sigma * y[:, :M])
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("name", lattice_names())
def test_the_decoder_finds_the_encoders_point_in_single_precision(name: str) -> None:
    bottleneck = make_bottleneck("lattice", 24, lattice=name).eval()
    assert isinstance(bottleneck, LatticeBottleneck)
    channel, lattice = bottleneck.channel, bottleneck.channel.lattice
    for scale in (1.0, 100.0):
        x = (scale * normal(50, 24)).float()
        output, _, symbols = bottleneck(x, sentences(50))
        assert symbols is not None
        z = lattice.point(symbols.view(50, -1, lattice.dim))
        y = z - channel.dither(bottleneck.map_in(x), sentences(50)).double()
        decoded = bottleneck.map_out(y.flatten(1)[:, :24].float())
        torch.testing.assert_close(decoded, output, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", lattice_names())
def test_the_relaxed_channel_adds_dither_and_pays_for_the_sum(name: str) -> None:
    bottleneck, x = lattice_bottleneck(name).train(), normal(6, M)
    channel, mean = bottleneck.channel, bottleneck.map_in(x)
    output, rate, symbols = bottleneck(x, sentences(6))
    sigma = channel.log_sigma.exp()
    y = placed(channel, (mean - channel.center) / sigma) - channel.dither(mean, sentences(6))
    assert symbols is None
    back = torch.empty(6, len(channel.places), dtype=F64)
    back[:, channel.places] = y.flatten(1)
    torch.testing.assert_close(output, bottleneck.map_out(channel.center + sigma * back[:, :M]))
    torch.testing.assert_close(rate, priced(channel, y))


@pytest.mark.parametrize("name", lattice_names())
def test_training_puts_coordinates_of_alike_scale_together(name: str) -> None:
    bottleneck = made("lattice", {"lattice": name, "bottleneck_dim": 40}).train()
    assert isinstance(bottleneck, LatticeBottleneck)
    channel = bottleneck.channel
    bottleneck(normal(3, M), sentences(3))
    assert sorted(channel.places.tolist()) == list(range(len(channel.places)))
    log_s = channel.log_scale.detach().clone()
    log_s[40:] = -1e9
    by_block = log_s[channel.places].view(-1, channel.lattice.dim)
    order = channel.lattice.place_order
    assert (by_block[:, order].flatten().diff() <= 0).all()


@pytest.mark.parametrize("name", lattice_names())
def test_where_coordinates_stand_changes_neither_law_nor_price_of_alike_ones(name: str) -> None:
    bottleneck = make_bottleneck("lattice", 24, lattice=name, bottleneck_dim=24).double().eval()
    assert isinstance(bottleneck, LatticeBottleneck)
    x, rates = normal(400, 24), []
    for seed in range(2):
        places = bottleneck.channel.places
        places.copy_(torch.randperm(len(places), generator=generator(seed)))
        through = bottleneck(x, sentences(400))
        rates.append(through.rate_nats)
        error = through.output - bottleneck.map_out(bottleneck.map_in(x))
        assert error.square().mean().item() == pytest.approx(1, abs=0.1)
    error = (rates[0] - rates[1]).std().item() / math.sqrt(400)
    assert (rates[0] - rates[1]).mean().abs() < 4 * error + 1e-9


@pytest.mark.parametrize("name", lattice_names())
def test_the_dither_has_unit_second_moment_and_fills_its_cell(name: str) -> None:
    bottleneck = make_bottleneck("lattice", 24, lattice=name)
    assert isinstance(bottleneck, LatticeBottleneck)
    channel = bottleneck.channel
    u = channel.dither(torch.empty(2000, 1, dtype=F64), sentences(2000))
    assert u.shape == (2000, channel.blocks, channel.lattice.dim)
    assert channel.lattice.second_moment == pytest.approx(1)
    squares = u.square().flatten(1).mean(1)
    error = squares.std().item() / math.sqrt(len(squares))
    assert squares.mean().item() == pytest.approx(1, abs=4 * error)
    assert (channel.lattice.nearest_point(u).abs() < 1e-6).all()


@pytest.mark.parametrize("name", lattice_names())
@pytest.mark.parametrize("bottleneck_dim", [0, 1, 12, 24, 25])
def test_places_are_the_least_multiple_of_the_lattices_dimension(
    name: str, bottleneck_dim: int
) -> None:
    bottleneck = make_bottleneck("lattice", M, lattice=name, bottleneck_dim=bottleneck_dim)
    assert isinstance(bottleneck, LatticeBottleneck)
    channel, asked = bottleneck.channel, bottleneck_dim or M
    n = channel.lattice.dim
    assert len(channel.places) == channel.blocks * n and asked <= len(channel.places) < asked + n
    output, rate, _ = bottleneck(normal(3, M).float(), sentences(3))
    assert output.shape == (3, M) and rate.shape == (3,)


@pytest.mark.parametrize("name", lattice_names())
def test_a_narrow_prior_and_a_silent_encoder_cost_nothing(name: str) -> None:
    bottleneck = make_bottleneck("lattice", M, lattice=name)
    assert isinstance(bottleneck, LatticeBottleneck)
    with torch.no_grad():
        bottleneck.channel.log_prior.fill_(-100)
    for training in (True, False):
        rate = bottleneck.train(training)(torch.zeros(200, M), sentences(200)).rate_nats
        assert rate.abs().max() < 0.01  # float32 dither at the edge of the cell


def test_the_default_code_is_exact() -> None:
    for name in lattice_names():
        bottleneck = make_bottleneck("lattice", M, lattice=name)
        assert isinstance(bottleneck, LatticeBottleneck)
        exact = ConvolvedGaussianCode if name == "Z" else DiscreteGaussianCode
        assert type(bottleneck.channel.code) is exact
    chosen = make_bottleneck("lattice", M, lattice="Z", lattice_code="discrete_gaussian")
    assert isinstance(chosen, LatticeBottleneck)
    assert type(chosen.channel.code) is DiscreteGaussianCode


def test_lattice_names_are_free_in_case_and_may_be_products() -> None:
    for name, places in (("leech", 504), ("E8^2", 512), ("Z", 500)):
        bottleneck = make_bottleneck("lattice", 500, lattice=name)
        assert isinstance(bottleneck, LatticeBottleneck)
        assert bottleneck.dim == 500 and len(bottleneck.channel.places) == places
    assert bottleneck_class("lattice").label({"lattice": "E8"}) == "lattice E8"


# Errors


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gausian", {}, "unknown bottleneck 'gausian'; did you mean 'gaussian'? (valid: gaussian,"),
        ("gaussian", {"bottleneck_dim": -1}, "-bottleneck_dim -1: expected 0 (for m) or a positiv"),
        ("ste_scalar", {"levels": 10**12}, "-levels 1000000000000: expected an integer"),
        ("gaussian", {"bottleneck_dim": 10**20}, "-bottleneck_dim 100000000000000000000: expected"),
        ("gaussian", {"bottleneck_dim": 1.5}, "-bottleneck_dim 1.5: expected 0"),
        ("ste_scalar", {"levels": 1}, "-levels 1: expected an integer of at least 2"),
        ("ste_vector", {"levels": 0}, "-levels 0: expected an integer of at least 2"),
        ("ste_vector", {"vector_dim": 0}, "-vector_dim 0: expected a positive integer"),
        (
            "ste_vector",
            {"vector_dim": 3},
            "-vector_dim 3 does not divide the bottleneck's 10 dimensions; choose a divisor, or "
            "another -bottleneck_dim",
        ),
        ("lattice", {"lattice": "E9"}, "unknown lattice 'E9'"),
        (
            "lattice",
            {"lattice_code": "uniform"},
            "unknown lattice_code 'uniform' (valid: auto, convolved_gaussian, discrete_gaussian)",
        ),
        (
            "lattice",
            {"latice": "E8"},
            "unknown option of bottleneck lattice 'latice'; did you mean 'lattice'? (valid: ",
        ),
        ("gaussian", {"prior": "broad"}, "unknown prior 'broad' (valid: learned, unit)"),
        ("none", {"levels": 2}, "unknown option of bottleneck none 'levels' (valid: bottleneck_di"),
    ],
)
def test_a_mistake_is_answered_with_value_expectation_and_cure(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        make_bottleneck(name, M, **options)
    assert message in str(error.value)


# The registry


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Bottleneck]]:
    """Return a copy of the registry, to be changed by one test alone."""
    copy = dict(base._BOTTLENECKS.classes)
    monkeypatch.setattr(base._BOTTLENECKS, "classes", copy)
    return copy


class Halving(Bottleneck):
    """What another package might add."""

    name = "halving"
    summary = "half of X, at a bit a number"

    def relaxed(self, x: Tensor, noise: Any) -> Bottlenecked:
        rate = torch.full((len(x),), self.dim * math.log(2), dtype=F64)
        return Bottlenecked(self.map_out(self.map_in(x) / 2), rate, None)

    quantized = relaxed


def test_the_built_in_names() -> None:
    assert list(bottlenecks()) == NAMES


def test_a_registered_class_is_made_by_name(registry: dict[str, type[Bottleneck]]) -> None:
    assert register_bottleneck(Halving) is Halving
    assert register_bottleneck(Halving) is Halving  # an entry point may come after the decorator
    bottleneck = make_bottleneck("halving", 4)
    assert isinstance(bottleneck, Halving)
    torch.testing.assert_close(
        bottleneck(torch.ones(2, 4), StreamNoise()).output.sum(), torch.tensor(4.0)
    )


def test_a_name_is_taken_only_once(registry: dict[str, type[Bottleneck]]) -> None:
    taken = type("Taken", (Halving,), {"name": "gaussian"})
    with pytest.raises(ValueError, match="'gaussian' is registered already"):
        register_bottleneck(taken)
    with pytest.raises(ValueError, match="'gaussian' is registered already"):
        register_bottleneck(type("Heir", (bottlenecks()["gaussian"],), {}))
    assert bottlenecks()["gaussian"].__name__ == "GaussianBottleneck"


@dataclasses.dataclass(frozen=True)
class Foreign:
    bottleneck_dim: int = 0


class Undecorated(BottleneckConfig):
    half: int = option(1, "would never be seen")


@pytest.mark.parametrize("impostor", [nn.Linear, 3, Halving(2, BottleneckConfig()), "gaussian"])
def test_what_is_no_bottleneck_is_refused(
    impostor: Any, registry: dict[str, type[Bottleneck]]
) -> None:
    with pytest.raises(TypeError, match="is not a subclass of"):
        register_bottleneck(impostor)


@pytest.mark.parametrize("config", [Foreign, Undecorated, dict])
def test_a_config_of_another_kind_is_refused(
    config: type, registry: dict[str, type[Bottleneck]]
) -> None:
    wrong = type("Wrong", (Halving,), {"name": "wrong", "Config": config})
    with pytest.raises(TypeError, match=r"Wrong\.Config must be a dataclass"):
        register_bottleneck(wrong)
    assert "wrong" not in registry


def test_a_class_without_a_name_is_refused(registry: dict[str, type[Bottleneck]]) -> None:
    nameless = type("Nameless", (Bottleneck,), {})
    with pytest.raises(TypeError, match=r"Nameless\.name must be set"):
        register_bottleneck(nameless)


# Entry points of other packages

EXTENSION = """
import dataclasses, math, torch
from onmt_lattice.bottlenecks import (
    Bottleneck, BottleneckConfig, Bottlenecked, option, register_bottleneck
)

@dataclasses.dataclass(frozen=True)
class HalvingConfig(BottleneckConfig):
    divisor: int = option(2, "what X is divided by")

    def __post_init__(self):
        super().__post_init__()
        self.require("divisor", self.divisor > 0, "a positive integer")

class Halving(Bottleneck):
    name = "halving"
    summary = "a part of X at a bit a number"
    Config = HalvingConfig

    def __init__(self, input_dim, config):
        super().__init__(input_dim, config)
        self.divisor = config.divisor

    def relaxed(self, x, noise):
        rate = torch.full((len(x),), self.dim * math.log(2), dtype=torch.double)
        return Bottlenecked(self.map_out(self.map_in(x) / self.divisor), rate, None)

    quantized = relaxed

class Usurper(Halving):
    name = "gaussian"

@register_bottleneck
class Both(Halving):
    name = "both"

number = 3
"""


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *entries: str) -> None:
    """Put a package on the path whose entry points are ``entries``."""
    module = f"extension_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(EXTENSION)
    info = tmp_path / "extension-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extension\nVersion: 1.0\n")
    lines = "\n".join(entry.format(module=module) for entry in entries)
    (info / "entry_points.txt").write_text(f"[{base.ENTRY_POINT_GROUP}]\n{lines}\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_an_installed_package_adds_its_bottleneck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: dict[str, type[Bottleneck]]
) -> None:
    install(tmp_path, monkeypatch, "halving = {module}:Halving", "both = {module}:Both")
    assert list(bottlenecks()) == ["both", "gaussian", "halving", *NAMES[1:]]
    assert list(bottlenecks()) == ["both", "gaussian", "halving", *NAMES[1:]]
    third = make_bottleneck("halving", M, divisor=4)
    x = torch.ones(2, M)
    torch.testing.assert_close(third(x, StreamNoise()).output, x / 4)
    with pytest.raises(UserError, match="-divisor 0: expected a positive integer"):
        make_bottleneck("halving", M, divisor=0)
    with pytest.raises(UserError, match="did you mean 'halving'"):
        make_bottleneck("halfing", M)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("gaussian = {module}:Usurper", "'gaussian' is registered already"),
        ("mine = {module}:Usurper", "'gaussian' is registered already"),
        ("mine = {module}:Missing", "has no attribute 'Missing'"),
        ("mine = no_such_module:Mine", "No module named 'no_such_module'"),
        ("mine = {module}:number", "3 is not a subclass of"),
    ],
)
def test_an_installed_package_that_cannot_be_used_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    registry: dict[str, type[Bottleneck]],
    entry: str,
    why: str,
) -> None:
    install(tmp_path, monkeypatch, entry)
    with pytest.raises(UserError) as error:
        make_bottleneck("gaussian", M)
    name = entry.split(" ")[0]
    assert f"the installed bottleneck {name!r} (" in str(error.value)
    assert why in str(error.value) and "mend or uninstall the package" in str(error.value)


@pytest.mark.parametrize("name", ["lattice", "ste_scalar", "ste_vector"])
def test_what_is_not_finite_has_no_symbols(name: str) -> None:
    bottleneck = make_bottleneck(name, 8).eval()
    x = torch.zeros(3, 8)
    x[1, 2] = math.nan
    with pytest.raises(UserError, match="X of 1 sentences of 3 is not finite"):
        bottleneck.quantized(x, SentenceNoise(0, [0, 1, 2]))


@pytest.mark.parametrize("name", sorted(bottlenecks()))
def test_a_bottleneck_of_no_numbers_and_one_of_no_sentences(name: str) -> None:
    with pytest.raises(UserError, match="X of 0 numbers: expected a positive integer"):
        make_bottleneck(name, 0)
    bottleneck = make_bottleneck(name, 8).eval()
    through = bottleneck.quantized(torch.zeros(0, 8), SentenceNoise(0, []))
    assert (through.output.shape, through.rate_nats.shape) == ((0, 8), (0,))
