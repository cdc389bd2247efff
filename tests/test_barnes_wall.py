"""BW16 against its definition: 32 cosets of 2·D16, each decoded and summed by itself."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from enumeration import points_within
from torch import Tensor

from onmt_lattice.lattices import BarnesWall16, make_lattice
from onmt_lattice.lattices.barnes_wall import reed_muller_words

LATTICE = BarnesWall16()
UNIT = math.sqrt(2)  # times a point of BW16 is an integer vector


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def uniform(count: int, rng: torch.Generator) -> Tensor:
    return 20 * torch.rand(count, 16, generator=rng, dtype=torch.float64) - 10


def shortest_vectors() -> Tensor:
    """Return all ±1 on the eight ones of a word, an even number of them minus, and all ±2, ±2."""
    signs = torch.tensor(list(itertools.product([1, -1], repeat=8)))
    signs = signs[signs.prod(1) == 1]
    rows = []
    for word in reed_muller_words(4):
        if word.sum() == 8:
            rows.append(torch.zeros(128, 16).index_copy(1, word.nonzero()[:, 0], signs.float()))
    for i, j in itertools.combinations(range(16), 2):
        pair = torch.zeros(4, 16)
        pair[:, i] = torch.tensor([2.0, 2, -2, -2])
        pair[:, j] = torch.tensor([2.0, -2, 2, -2])
        rows.append(pair)
    return torch.cat(rows).double() / UNIT


def distances_to_cosets(x: Tensor) -> Tensor:
    """Return ``(N, 32)`` squared distances to 2·D16 + c, each by rounding and mending."""
    halves = (x * UNIT)[:, None] / 2 - reed_muller_words(4).double() / 2
    error = (halves - halves.round()).abs()
    odd = halves.round().sum(-1) % 2
    return 2 * (error.square().sum(-1) + odd * (1 - 2 * error.amax(-1)))


def log_theta_by_signs(y: Tensor, log_s: Tensor) -> Tensor:
    """Return log Θ from ½(Π(E + O) + Π(E − O)) over the numbers c + 4k and c + 2 + 4k."""
    k = 4.0 * torch.arange(-30, 31, dtype=torch.float64)
    y, s = y * UNIT, log_s.exp() * UNIT

    def line(residue: int) -> Tensor:
        distances = (y - residue)[..., None] - k
        return (-distances.square() / (2 * s[..., None].square())).exp().sum(-1)

    words, total = reed_muller_words(4)[:, None], torch.zeros(())
    for sign in (1, -1):
        zeros, ones = line(0) + sign * line(2), line(1) + sign * line(3)
        total = total + torch.where(words == 0, zeros, ones).prod(-1).sum(0) / 2
    return total.log()


def test_reed_muller_code() -> None:
    words = reed_muller_words(4)
    assert len(words.unique(dim=0)) == 32
    assert words.sum(1).bincount(minlength=17).tolist() == [1] + 7 * [0] + [30] + 7 * [0] + [1]
    sums = (words[:, None] ^ words).flatten(0, 1)
    assert len(torch.cat([words, sums]).unique(dim=0)) == 32


def test_basis_generates_the_construction() -> None:
    """Its rows are words modulo 2 with sums divisible by 4, and its volume is that of BW16."""
    rows = (LATTICE.unit_basis * UNIT).round().long()
    assert (rows.sum(1) % 4 == 0).all()
    assert len(torch.cat([reed_muller_words(4), rows % 2]).unique(dim=0)) == 32
    assert LATTICE.volume == pytest.approx(2**16 * 2 / 32 / UNIT**16)
    gram = LATTICE.basis @ LATTICE.basis.T
    torch.testing.assert_close(gram, gram.round())


def test_no_coset_is_nearer(rng: torch.Generator) -> None:
    x = uniform(5_000, rng)
    nearest = LATTICE.nearest_point(x)
    assert LATTICE.contains(nearest).all()
    best = distances_to_cosets(x).amin(1)
    torch.testing.assert_close((x - nearest).square().sum(1), best, rtol=0, atol=1e-9)


def test_search_finds_nothing_nearer(rng: torch.Generator) -> None:
    x = uniform(3_000, rng)
    radii = (x - LATTICE.nearest_point(x)).norm(dim=1).numpy()
    nearer, _ = points_within(LATTICE.basis.numpy(), x.numpy(), radii - 1e-9)
    assert len(nearer) == 0
    found, _ = points_within(LATTICE.basis.numpy(), x.numpy(), radii + 1e-9)
    assert len(set(found)) == len(x)


def test_kissing_configuration(rng: torch.Generator) -> None:
    shortest = shortest_vectors()
    assert len(shortest.unique(dim=0)) == LATTICE.kissing_number
    assert LATTICE.contains(shortest).all()
    torch.testing.assert_close(shortest.norm(dim=1), torch.full((4320,), 2.0).double())
    x = uniform(2_000, rng)
    assert ((x - LATTICE.nearest_point(x)) @ shortest.T <= 2 + 1e-9).all()


def test_deep_hole() -> None:
    """Half of a vector of norm 12 is as far from the lattice as any point is."""
    hole = torch.zeros(16, dtype=torch.float64)
    hole[[0, 1, 2, 4, 8, 15]] = 1 / UNIT
    nearest = LATTICE.nearest_point(hole)
    assert (hole - nearest).norm().item() == pytest.approx(LATTICE.covering_radius)
    _, around = points_within(LATTICE.basis.numpy(), hole[None].numpy(), math.sqrt(3) + 1e-9)
    assert len(around) > 16  # a vertex of the Voronoi cell: more neighbours than dimensions


def test_second_moment(rng: torch.Generator) -> None:
    batches = [LATTICE.sample_dither((20_000,), rng).square().mean(-1) for _ in range(10)]
    per_dim = torch.cat(batches).double()
    error = per_dim.std() / math.sqrt(len(per_dim))
    assert abs(per_dim.mean() - LATTICE.second_moment) < 3 * error


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_log_theta_is_the_sum_over_cosets(spread: float, rng: torch.Generator) -> None:
    y = uniform(40, rng)
    for log_s in (-0.9, -0.3, 0.3, 1.0):
        scales = log_s + spread * torch.randn(40, 16, generator=rng, dtype=torch.float64)
        expected = log_theta_by_signs(y, scales)
        torch.testing.assert_close(LATTICE.log_theta(y, scales), expected, rtol=1e-9, atol=1e-8)


def test_log_theta_where_the_alternating_sums_cancel() -> None:
    """At an integer vector of the wrong parity all 32 cosets are far, and Π(E + O) ≈ Π(E − O)."""
    y = torch.zeros(16, dtype=torch.float64)
    y[0] = 2 / UNIT  # 2, 0, …, 0: 32 points at distance √2, and the next ones at √6
    for log_s in (-2.0, -4.0):
        expected = math.log(32) - 2 / (2 * math.exp(2 * log_s))
        for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
            theta = LATTICE.log_theta(y.to(dtype), torch.tensor(log_s, dtype=dtype))
            assert theta.item() == pytest.approx(expected, rel=tolerance, abs=1e-12)


@pytest.mark.parametrize("log_s", [math.log(s) for s in (1e-4, 1e-2, 0.3, 1.0, 10.0, 1e4)])
def test_float32_agrees_with_float64(log_s: float, rng: torch.Generator) -> None:
    """Down to s = 1e-4, where only the nearest point counts, and up to s = 1e4, where none does."""
    y = LATTICE.sample_dither((300,), rng)
    scales = torch.full((16,), log_s) + 0.3 * torch.randn(16, generator=rng)
    values, gradients = [], []
    for dtype in (torch.float32, torch.float64):
        inputs = [v.to(dtype).requires_grad_() for v in (y, scales)]
        values.append(LATTICE.log_theta(*inputs))
        gradients.append(torch.autograd.grad(values[-1].sum(), inputs[1])[0])
    torch.testing.assert_close(values[0].double(), values[1], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-4, atol=1e-2)


def test_registered() -> None:
    assert isinstance(make_lattice("bw16"), BarnesWall16)
