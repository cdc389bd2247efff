"""The compiled sums of classes, held against the eager ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from onmt_lattice.lattices.class_kernels import class_weights
from onmt_lattice.lattices.theta import LOG_CROSSING, log_theta_class

ORDERS = [2, 3, 5]


def compiled(y: Tensor, log_s: Tensor, q: int) -> tuple[Tensor, ...]:
    """Return the weights, slopes, tops and spans of points ``(N, n)``."""
    count, n = y.shape
    found = [torch.full(s, math.nan).double() for s in [(count, n, q), (2, count, n, q)]]
    found += [torch.full_like(y, math.nan), torch.full_like(y, math.nan)]
    arrays = (v.numpy() for v in (y, log_s.expand_as(y).contiguous()))
    class_weights(*arrays, tuple(range(q)), *(v.numpy() for v in found))
    return tuple(found)


def points(q: int) -> Tensor:
    """Return ``(1, n)``: anywhere, on integers, half way between those of a class, and about."""
    y = torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    special = torch.arange(-4 * q, 4 * q + 1, dtype=torch.float64) / 2
    return torch.cat([10 * q * (y - 0.5), special, special + 1e-9, special - 1e-9])[None]


def scales(q: int) -> list[float]:
    """Return log scales over the range of the codes, and about where the readings meet."""
    meet = LOG_CROSSING + math.log(q)
    return [*range(-16, 17, 4), -1.0, -0.3, meet - 1e-12, meet, meet + 1e-12, 0.4, 1.0]


@pytest.mark.parametrize("q", ORDERS)
def test_sums_and_slopes_are_those_of_the_eager_reading(q: int) -> None:
    y = points(q).requires_grad_()
    for scale in scales(q):
        log_s = torch.full_like(y, scale).requires_grad_()
        weights, slopes, tops, _ = compiled(y.detach(), log_s.detach(), q)
        size = 1 + math.exp(-2 * scale)  # of what the eager reading subtracts
        for c in range(q):
            expected = log_theta_class(y, log_s, float(c), float(q))
            share = (expected - tops).exp()
            torch.testing.assert_close(weights[..., c], share, rtol=1e-13, atol=1e-14 * size)
            for got, slow in zip(
                slopes[..., c], torch.autograd.grad(expected.sum(), (y, log_s)), strict=True
            ):
                assert ((got - slow).abs() <= 1e-14 * q**2 * size).all()


@pytest.mark.parametrize("q", ORDERS)
def test_slopes_keep_the_symmetries(q: int) -> None:
    """At a point of its class a sum is even in y; half way to the next, too."""
    y = torch.tensor([[0.0, 3.0 * q, q / 2, -q / 2]], dtype=torch.float64)
    for scale in scales(q):
        slopes = compiled(y, torch.tensor(scale, dtype=torch.float64), q)[1]
        steep = torch.tensor(math.exp(-2 * scale), dtype=torch.float64)
        assert (slopes[0, 0, :2, 0].abs() <= 1e-15 * steep).all()
        assert torch.isfinite(slopes).all()
        assert (slopes[1] >= 0).all()  # a wider Gaussian weighs more


@pytest.mark.parametrize("q", ORDERS)
def test_the_largest_weight_is_about_1_and_spans_bound_the_least(q: int) -> None:
    y = points(q)
    for scale in scales(q):
        log_s = torch.tensor(scale, dtype=torch.float64)
        weights, _, _, spans = compiled(y, log_s, q)
        assert (weights.amax(-1) > 0.9).all() and (weights.amax(-1) < 2.1).all()
        logs = torch.stack([log_theta_class(y, log_s, float(c), float(q)) for c in range(q)])
        rounding = 1e-13 * (1 + math.exp(-2 * scale))
        assert (logs.amax(0) - logs.amin(0) <= spans + rounding).all()


def test_slopes_that_are_not_wanted_change_nothing() -> None:
    y = points(3)
    log_s = torch.zeros_like(y)
    wanted = compiled(y, log_s, 3)
    weights, tops, spans = torch.empty_like(wanted[0]), torch.empty_like(y), torch.empty_like(y)
    arrays = (v.numpy() for v in (weights, torch.empty(2, 0, y.shape[1], 3).double(), tops, spans))
    class_weights(y.numpy(), log_s.numpy(), (0, 1, 2), *arrays)
    for got, expected in zip((weights, tops, spans), (wanted[0], *wanted[2:]), strict=True):
        assert torch.equal(got, expected)
