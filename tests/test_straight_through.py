"""Straight-through quantizers: their gradients, their fit, and entries that fall out of use."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import normal
from torch import Tensor

from onmt_lattice.bottlenecks import ScalarBottleneck, VectorBottleneck, make_bottleneck
from onmt_lattice.bottlenecks.straight_through import (
    RESTART_BATCHES,
    entries_at,
    fit_entries,
    nearest_entry,
)
from onmt_lattice.bottlenecks.straight_through import StraightThroughBottleneck as Quantizer
from onmt_lattice.noise import StreamNoise

F64 = torch.float64
NOISE = StreamNoise()  # straight-through quantizers draw none
KINDS = [("ste_scalar", {"levels": 3}), ("ste_vector", {"levels": 5, "vector_dim": 2})]
M = 8  # the dimension of X


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0])
def bottleneck(request: pytest.FixtureRequest) -> Quantizer:
    """One of each kind with random entries and codes that no batch will move."""
    name, options = request.param
    bottleneck = make_bottleneck(name, M, **options).double()
    assert isinstance(bottleneck, ScalarBottleneck | VectorBottleneck)
    with torch.no_grad():
        bottleneck.entries.copy_(normal(*bottleneck.entries.shape, seed=1))
        bottleneck.logits.copy_(normal(*bottleneck.logits.shape, seed=2))
    bottleneck.batches.fill_(RESTART_BATCHES)
    return bottleneck


def vectors(x: Tensor, bottleneck: Quantizer) -> Tensor:
    return x.view(len(x), *bottleneck.entries.shape[::2])  # (batch, N, v)


def distortion(x: Tensor, entries: Tensor) -> Tensor:
    return (x - entries_at(entries, nearest_entry(x, entries))).square().sum(-1).mean(0)


def test_each_vector_becomes_exactly_its_nearest_entry(bottleneck: Quantizer) -> None:
    x = 100 * normal(20, M)
    output, _, symbols, _ = bottleneck.quantized(x, NOISE)
    assert symbols is not None and symbols.dtype == torch.int64
    points, got = vectors(x, bottleneck), vectors(output, bottleneck)
    for row in range(len(x)):
        for j, entries in enumerate(bottleneck.entries):
            k = int((points[row, j] - entries).square().sum(-1).argmin())
            assert symbols[row, j] == k and torch.equal(got[row, j], entries[k])


def test_the_rate_is_the_code_length_of_the_symbols(bottleneck: Quantizer) -> None:
    _, rate, symbols, _ = bottleneck.quantized(normal(20, M), NOISE)
    assert symbols is not None
    probability = torch.softmax(bottleneck.logits.detach(), -1)
    expected = [
        -sum(math.log(probability[j, k]) for j, k in enumerate(row)) for row in symbols.tolist()
    ]
    assert rate.tolist() == pytest.approx(expected) and rate.dtype == F64


def test_the_gradient_passes_to_the_encoder_as_it_is(bottleneck: Quantizer) -> None:
    x, incoming = normal(20, M).requires_grad_(), normal(20, M, seed=3)
    bottleneck(x, NOISE).output.backward(incoming)
    assert x.grad is not None and torch.equal(x.grad, incoming)


def test_the_gradient_of_an_entry_is_the_sum_over_those_who_chose_it(bottleneck: Quantizer) -> None:
    incoming = normal(20, M, seed=3)
    output, _, symbols, _ = bottleneck(normal(20, M), NOISE)
    output.backward(incoming)
    assert symbols is not None
    expected = torch.zeros_like(bottleneck.entries)
    for row, choices in enumerate(symbols.tolist()):
        for j, k in enumerate(choices):
            expected[j, k] += vectors(incoming, bottleneck)[row, j]
    gradient = bottleneck.entries.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, expected)
    unused = (torch.nn.functional.one_hot(symbols, expected.shape[1]).sum(0) == 0).double()
    assert unused.any() and (gradient * unused.unsqueeze(-1) == 0).all()
    assert bottleneck.logits.grad is None


def test_the_gradient_of_the_rate_goes_to_the_codes_alone(bottleneck: Quantizer) -> None:
    x = normal(20, M).requires_grad_()
    _, rate, symbols, _ = bottleneck(x, NOISE)
    weight = normal(20, seed=4)
    rate.backward(weight)
    assert symbols is not None and bottleneck.logits.grad is not None
    onehot = torch.nn.functional.one_hot(symbols, bottleneck.logits.shape[1]).double()
    softmax = torch.softmax(bottleneck.logits.detach(), -1)
    expected = ((softmax - onehot) * weight[:, None, None]).sum(0)
    torch.testing.assert_close(bottleneck.logits.grad, expected)
    assert x.grad is None and bottleneck.entries.grad is None


@pytest.mark.parametrize(
    ("levels", "optimum"),  # Max (1960), "Quantizing for minimum distortion", table I
    [(2, [0.7980]), (4, [0.4528, 1.510])],
)
def test_few_levels_come_near_the_best_scalar_quantizer_of_a_normal(
    levels: int, optimum: list[float]
) -> None:
    entries = fit_entries(normal(20_000, 1, 1), levels)[0, :, 0].sort().values
    expected = torch.tensor([-v for v in reversed(optimum)] + optimum, dtype=F64)
    torch.testing.assert_close(entries, expected, rtol=0, atol=0.06)


@pytest.mark.parametrize("sample", [1, 5])
def test_a_sample_smaller_than_the_codebook_is_fitted_exactly(sample: int) -> None:
    for x in (normal(sample, 2, 2), torch.ones(sample, 2, 2, dtype=F64)):
        entries = fit_entries(x, 6)
        assert entries.isfinite().all()
        assert (distortion(x, entries) < 1e-20).all()


def test_the_first_training_batch_fits_the_entries() -> None:
    bottleneck = make_bottleneck("ste_vector", M, levels=4).double()
    x = 5 + 3 * normal(100, M)
    bottleneck(x, NOISE)
    assert isinstance(bottleneck, VectorBottleneck)
    torch.testing.assert_close(bottleneck.entries.detach(), fit_entries(x.view(100, 4, 2), 4))
    assert bottleneck.batches == 1


def test_dead_entries_come_back_among_the_data(bottleneck: Quantizer) -> None:
    torch.manual_seed(0)
    bottleneck.batches.fill_(1)
    with torch.no_grad():
        bottleneck.entries[:, 0] = 1e3
        alive = bottleneck.entries[:, 1:].clone()
    for seed in range(40):
        bottleneck(normal(64, M, seed=seed), NOISE)
    assert bottleneck.entries.abs().max() < 10
    assert bottleneck.batches == 41
    moved = (bottleneck.entries[:, 1:] != alive).any(-1).double().mean()
    assert moved < 0.5  # those in use were left alone
    used = bottleneck(normal(1000, M, seed=99), NOISE).symbols
    assert used is not None and all(len(column.unique()) > 1 for column in used.T)


def test_after_the_first_batches_nothing_restarts(bottleneck: Quantizer) -> None:
    with torch.no_grad():
        bottleneck.entries[:, 0] = 1e3
    bottleneck.batches.fill_(RESTART_BATCHES - 1)
    bottleneck.usage[:, 0] = 0.0
    before = {key: value.clone() for key, value in bottleneck.state_dict().items()}
    bottleneck(normal(64, M), NOISE)
    assert bottleneck.batches == RESTART_BATCHES
    assert bottleneck.entries.abs().max() < 10  # the last that may restart
    bottleneck.load_state_dict({**before, "batches": torch.tensor(RESTART_BATCHES)})
    for seed in range(3):
        bottleneck(normal(64, M, seed=seed), NOISE)
    for key, value in bottleneck.state_dict().items():
        expected = before[key] if key != "batches" else torch.tensor(RESTART_BATCHES)
        assert torch.equal(value, expected), key
