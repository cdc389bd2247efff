"""Laws of every bottleneck: its options, shapes, rate and limits."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from conftest import normal
from torch import nn

from onmt_lattice.bottlenecks import Bottleneck, bottlenecks, make_bottleneck
from onmt_lattice.errors import UserError
from onmt_lattice.noise import SentenceNoise, StreamNoise

F64 = torch.float64
M = 10  # the dimension of X: no multiple of 3, 4, 8, 16 or 24
Variant = tuple[str, dict[str, Any]]
VARIANTS: list[Variant] = [
    ("none", {}),
    ("gaussian", {}),
    ("ste_scalar", {"levels": 3}),
    ("ste_vector", {"levels": 3, "vector_dim": 2}),
    ("fsq", {"levels": 5, "vector_dim": 2}),
    ("fsq", {"levels": 2, "vector_dim": 1}),
    ("lfq", {"vector_dim": 2}),
    ("residual_vq", {"levels": 4, "quantizers": 3}),
    ("lattice", {"lattice": "A2", "lattice_code": "convolved_gaussian"}),
    ("lattice", {"lattice": "E8", "prior": "unit"}),
    ("gaussian", {"prior": "unit"}),
    *(("lattice", {"lattice": name}) for name in ("Z", "Leech", "conv4-8")),
]
NAMES = ["fsq", "gaussian", "lattice", "lfq", "none", "residual_vq", "ste_scalar", "ste_vector"]


def made(name: str, options: dict[str, Any], input_dim: int = M, seed: int = 1) -> Bottleneck:
    """Return a float64 bottleneck, every parameter of which is random."""
    bottleneck = make_bottleneck(name, input_dim, **options).double()
    with torch.no_grad():
        for index, parameter in enumerate(bottleneck.parameters()):
            parameter.copy_(0.5 * normal(*parameter.shape, seed=100 * seed + index))
    return bottleneck


@pytest.fixture(params=VARIANTS, ids=str)
def variant(request: pytest.FixtureRequest) -> Variant:
    return request.param


def sentences(size: int) -> SentenceNoise:
    return SentenceNoise(5, list(range(size)))


@pytest.mark.parametrize(
    ("bottleneck_dim", "dtype"),
    [(0, torch.float32), (4, F64), (16, torch.bfloat16), (6, torch.float16)],
)
def test_shapes(variant: Variant, bottleneck_dim: int, dtype: torch.dtype) -> None:
    name, options = variant
    if (name, dtype) == ("residual_vq", torch.float16):
        pytest.skip(
            "the library adds less than half precision has; training keeps single precision"
        )
    bottleneck = make_bottleneck(name, M, bottleneck_dim=bottleneck_dim, **options).to(dtype)
    assert bottleneck.dim == (bottleneck_dim or M)
    for training in (True, False):
        bottleneck.train(training)
        through = bottleneck(normal(7, M).to(dtype), sentences(7))
        assert through.output.shape == (7, M) and through.output.dtype == dtype
        assert through.rate_nats.shape == (7,) and through.rate_nats.dtype == F64
        assert through.output.isfinite().all() and through.rate_nats.isfinite().all()
        if through.symbols is not None:
            assert through.symbols.dtype == torch.int64 and through.symbols.shape[0] == 7


def test_the_mode_decides_between_the_channels(variant: Variant) -> None:
    bottleneck, x = made(*variant), normal(6, M)
    torch.manual_seed(0)
    bottleneck(x, sentences(6))  # a first batch, which fits entries
    for training, channel in ((False, "quantized"), (True, "relaxed")):
        twin = copy.deepcopy(bottleneck.train(training))  # as training moves averages
        torch.manual_seed(0)
        got = bottleneck(x, sentences(6))
        torch.manual_seed(0)
        expected = getattr(twin, channel)(x, sentences(6))
        assert torch.equal(got.output, expected.output)
        assert torch.equal(got.rate_nats, expected.rate_nats)


def test_a_sentence_comes_out_the_same_in_any_batch(variant: Variant) -> None:
    bottleneck, x = made(*variant).eval(), normal(6, M)
    together = bottleneck(x, SentenceNoise(3, [4, 8, 15, 16, 23, 42]))
    order = [3, 0, 5]
    apart = bottleneck(x[order], SentenceNoise(3, [16, 4, 42]))
    torch.testing.assert_close(apart.output, together.output[order])
    torch.testing.assert_close(apart.rate_nats, together.rate_nats[order])
    if together.symbols is not None:
        assert torch.equal(apart.symbols, together.symbols[order])


def test_the_decoder_gets_what_the_symbols_and_the_noise_say(variant: Variant) -> None:
    bottleneck = made(*variant).float().eval()
    through = bottleneck.quantized(3 * normal(7, M).float(), sentences(7))
    if through.symbols is None:
        assert bottleneck.symbol_count is None
        with pytest.raises(UserError, match="sends nothing discrete: expected a model with"):
            bottleneck.received(torch.zeros(7, M, dtype=torch.int64), sentences(7))
    else:
        assert through.symbols.shape == (7, bottleneck.symbol_count)
        assert torch.equal(bottleneck.received(through.symbols, sentences(7)), through.output)


def test_every_parameter_is_trained(variant: Variant) -> None:
    name, options = variant
    bottleneck = made(name, options | {"bottleneck_dim": 8}).train()
    x = normal(40, M).requires_grad_()
    through = bottleneck(x, sentences(40))
    (through.output.square().sum() + through.rate_nats.sum()).backward()
    for key, tensor in [*bottleneck.named_parameters(), ("x", x)]:
        gradient = tensor.grad
        assert gradient is not None and gradient.isfinite().all() and gradient.any(), key


def test_evaluation_changes_no_parameter_or_buffer(variant: Variant) -> None:
    bottleneck = made(*variant)
    bottleneck(normal(9, M), sentences(9))  # a first batch, after which entries may restart
    bottleneck.eval()
    before = {key: value.clone() for key, value in bottleneck.state_dict().items()}
    for channel in (bottleneck, bottleneck.relaxed, bottleneck.quantized):
        channel(normal(9, M), sentences(9))
    assert before.keys() == bottleneck.state_dict().keys()
    for key, value in bottleneck.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_the_state_says_everything(variant: Variant) -> None:
    bottleneck, other = made(*variant).eval(), made(*variant, seed=2).eval()
    other.load_state_dict(bottleneck.state_dict())
    x = normal(5, M)
    for a, b in zip(bottleneck(x, sentences(5)), other(x, sentences(5)), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("bottleneck_dim", [0, 4, 24])
def test_reset_makes_the_maps_orthogonal(variant: Variant, bottleneck_dim: int) -> None:
    name, options = variant
    bottleneck = made(name, options | {"bottleneck_dim": bottleneck_dim})
    bottleneck.reset_parameters()
    first = {"gaussian": 3.0, "lattice": 3.0, "ste_scalar": 10.0, "ste_vector": 10.0}.get(name, 1.0)
    for linear, gain in ((bottleneck.map_in, first), (bottleneck.map_out, 1.0)):
        if not isinstance(linear, nn.Linear):
            assert bottleneck.dim == M and not bottleneck.always_maps
            continue
        weight = linear.weight if linear.out_features <= linear.in_features else linear.weight.T
        expected = gain**2 * torch.eye(len(weight), dtype=F64)
        torch.testing.assert_close(weight @ weight.T, expected)
        assert (linear.bias == 0).all()


def test_none_is_linear_and_without_maps_the_identity_at_no_cost() -> None:
    x = normal(4, M)
    output, rate, symbols, _ = make_bottleneck("none", M)(x, StreamNoise())
    assert torch.equal(output, x) and (rate == 0).all() and symbols is None
    bottleneck = made("none", {"bottleneck_dim": 3})
    out = [bottleneck(v, StreamNoise()).output for v in (x, 2 * x, 0 * x)]
    torch.testing.assert_close(out[1] - out[2], 2 * (out[0] - out[2]))
    assert torch.linalg.matrix_rank(out[0] - out[2]) == 3


def test_a_mistake_is_answered_with_value_expectation_and_cure() -> None:
    divides = "-vector_dim 3 does not divide the bottleneck's 10 dimensions; choose a divisor, or "
    codes = "(valid: auto, convolved_gaussian, discrete_gaussian)"
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("gausian", {}, "unknown bottleneck 'gausian'; did you mean 'gaussian'? (valid: fsq, gaus"),
        ("ste_scalar", {"levels": 10**12}, "-levels 1000000000000: expected at least 2 and"),
        ("ste_vector", {"vector_dim": 3}, f"{divides}another -bottleneck_dim"),
        ("lattice", {"lattice": "E9"}, "unknown lattice 'E9'"),
        ("lattice", {"lattice_code": "uniform"}, f"unknown lattice code 'uniform' {codes}"),
        ("lattice", {"latice": "E8"}, "of bottleneck lattice 'latice'; did you mean 'lattice'?"),
        ("gaussian", {"prior": "broad"}, "unknown prior 'broad' (valid: learned, unit)"),
        ("none", {"levels": 2}, "unknown option of bottleneck none 'levels' (valid: bottleneck_di"),
    ]
    for name, options, message in wrong:
        with pytest.raises(UserError) as error:
            make_bottleneck(name, M, **options)
        assert message in str(error.value)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"none", "gaussian"}))
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
