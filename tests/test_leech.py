"""The Leech lattice against its definition: 2 × 4,096 cosets of 4·D24, summed one by one."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from onmt_lattice.lattices import Leech, make_lattice
from onmt_lattice.lattices.golay import golay_generator, span

LATTICE = Leech()
UNIT = math.sqrt(8)  # times a point of the Leech lattice is an integer vector
CODE = span(golay_generator())


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def uniform(count: int, rng: torch.Generator) -> Tensor:
    return 20 * torch.rand(count, 24, generator=rng, dtype=torch.float64) - 10


def shortest_vectors() -> Tensor:
    """Return (±2⁸, 0¹⁶), (∓3, ±1²³) and (±4², 0²²) over √8 (SPLAG, chapter 4, section 11)."""
    signs = torch.tensor(list(itertools.product([2, -2], repeat=8)))
    signs = signs[(signs < 0).sum(1) % 2 == 0]
    octads = CODE[CODE.sum(1) == 8]
    twos = torch.zeros(len(octads), len(signs), 24, dtype=torch.int64)
    places = octads.nonzero()[:, 1].view(-1, 1, 8).expand(-1, len(signs), -1)
    twos.scatter_(2, places, signs.expand(len(octads), -1, -1))
    ones = (1 - 2 * CODE)[:, None] * (1 - 4 * torch.eye(24, dtype=torch.int64))
    fours = torch.zeros(4, 276, 24, dtype=torch.int64)
    for of_sign, (a, b) in zip(fours, itertools.product([4, -4], repeat=2), strict=True):
        i, j = torch.triu_indices(24, 24, 1)
        of_sign[torch.arange(276), i], of_sign[torch.arange(276), j] = a, b
    return torch.cat([v.view(-1, 24) for v in (twos, ones, fours)]).double() / UNIT


def distances_to_cosets(x: Tensor) -> Tensor:
    """Return ``(8192, N)`` squared distances to τ·1 + 2c + 4k, Σk ≡ τ, by rounding and mending."""
    tau = torch.tensor([0.0, 1.0]).repeat_interleave(len(x))
    x = (x * UNIT).T.repeat(1, 2) - tau  # (24, τ and N)
    quarters = torch.stack([x, x - 2], 1) / 4  # (24, c, τ and N)
    rounded = quarters.round()
    error = (quarters - rounded).abs()
    chosen = torch.stack([1 - CODE, CODE], 2).flatten(1).double()  # (4096, 24 and c)
    odd = (chosen @ rounded.flatten(0, 1) + tau) % 2
    largest = torch.zeros_like(odd)
    for bits, errors in zip(CODE.T, error, strict=True):
        torch.maximum(largest, errors.index_select(0, bits), out=largest)
    distance = chosen @ error.square().flatten(0, 1) + odd * (1 - 2 * largest)
    return 16 * torch.cat(distance.chunk(2, 1)) / UNIT**2


def log_theta_by_signs(y: Tensor, log_s: Tensor) -> Tensor:
    """Return log Θ by matrix products with the code: ½(Π(E + O) ± Π(E − O)) for each coset.

    E and O are the sums over τ + 2c + 8k and τ + 2c + 4 + 8k.
    """
    k = 8.0 * torch.arange(-20, 21, dtype=torch.float64)
    y, s, code = y * UNIT, log_s.exp() * UNIT, CODE.double()

    def line(residue: int) -> Tensor:
        distances = (y - residue)[..., None] - k
        return (-distances.square() / (2 * s[..., None].square())).exp().sum(-1)

    total = torch.zeros(())
    for tau, sign in itertools.product((0, 1), (1, -1)):
        zeros = line(tau) + sign * line(tau + 4)
        ones = line(tau + 2) + sign * line(tau + 6)
        log_zeros, log_ones = (v.abs().clamp_min(1e-300).log() for v in (zeros, ones))
        logs = log_ones @ code.T + log_zeros @ (1 - code).T
        minus = (ones < 0).double() @ code.T + (zeros < 0).double() @ (1 - code).T
        signs = (1 - 2 * (minus % 2)) * (sign if tau else 1)
        total = total + (signs * logs.exp()).sum(-1) / 2
    return total.log()


def test_golay_code() -> None:
    weights = CODE.sum(1).bincount(minlength=25)
    assert {w: n for w, n in enumerate(weights.tolist()) if n} == {
        0: 1,
        8: 759,
        12: 2576,
        16: 759,
        24: 1,
    }
    i, j = torch.randint(4096, (2, 500), generator=torch.Generator().manual_seed(0))
    assert torch.equal(CODE[i] ^ CODE[j], CODE[i ^ j])


def test_basis_generates_the_construction() -> None:
    """Even, unimodular and, by the kissing configuration, without roots: the Leech lattice."""
    rows = (LATTICE.unit_basis * UNIT).round().long()
    tau = rows[:, :1] % 2
    words = (rows - tau) // 2 % 2
    k = (rows - tau - 2 * words) // 4
    assert torch.equal(rows, tau + 2 * words + 4 * k)
    assert ((k.sum(1) - tau[:, 0]) % 2 == 0).all()
    assert len(torch.cat([CODE, words]).unique(dim=0)) == 4096
    gram = LATTICE.basis @ LATTICE.basis.T
    torch.testing.assert_close(gram, gram.round())
    assert (gram.diagonal().round() % 2 == 0).all()
    assert LATTICE.volume == pytest.approx(1)


def test_no_coset_is_nearer(rng: torch.Generator) -> None:
    for x in uniform(4_000, rng).split(50):
        nearest = LATTICE.nearest_point(x)
        assert LATTICE.contains(nearest).all()
        best = distances_to_cosets(x).amin(0)
        torch.testing.assert_close((x - nearest).square().sum(1), best, rtol=0, atol=1e-9)


def test_kissing_configuration(rng: torch.Generator) -> None:
    shortest = shortest_vectors()
    assert len(shortest.unique(dim=0)) == LATTICE.kissing_number
    assert LATTICE.contains(shortest).all()
    torch.testing.assert_close(shortest.norm(dim=1), torch.full((196560,), 2.0).double())
    x = uniform(300, rng)
    assert ((x - LATTICE.nearest_point(x)) @ shortest.T <= 2 + 1e-9).all()


def test_deep_hole(rng: torch.Generator) -> None:
    """Half of a vector of norm 8 is as far from the lattice as any point is."""
    hole = torch.zeros(24, dtype=torch.float64)
    hole[0] = 4 / UNIT
    distances = distances_to_cosets(hole[None])
    assert distances.min().item() == pytest.approx(LATTICE.covering_radius**2)
    assert (hole - LATTICE.nearest_point(hole)).norm().item() == pytest.approx(math.sqrt(2))


def test_second_moment(rng: torch.Generator) -> None:
    batches = [LATTICE.sample_dither((20_000,), rng).square().mean(-1) for _ in range(5)]
    per_dim = torch.cat(batches).double()
    error = per_dim.std() / math.sqrt(len(per_dim))
    assert abs(per_dim.mean() - LATTICE.second_moment) < 3 * error


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_log_theta_is_the_sum_over_cosets(spread: float, rng: torch.Generator) -> None:
    y = uniform(20, rng)
    for log_s in (-0.9, -0.5, -0.1, 0.5):  # narrower, it is the signed sums that lose precision
        scales = log_s + spread * torch.randn(20, 24, generator=rng, dtype=torch.float64)
        expected = log_theta_by_signs(y, scales)
        torch.testing.assert_close(LATTICE.log_theta(y, scales), expected, rtol=1e-9, atol=1e-7)


def test_log_theta_where_the_alternating_sums_cancel() -> None:
    """In a deep hole all 2 × 4,096 cosets are far, and Π(E + O) ≈ ±Π(E − O) for the nearest ones.

    From the hole (4, 0, …, 0)/√8, the 48 nearest points are √2 away, and the next √3.
    """
    y = torch.zeros(24, dtype=torch.float64)
    y[0] = 4 / UNIT
    for log_s in (-2.5, -4.0):
        expected = math.log(48) - 2 / (2 * math.exp(2 * log_s))
        for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
            theta = LATTICE.log_theta(y.to(dtype), torch.tensor(log_s, dtype=dtype))
            assert theta.item() == pytest.approx(expected, rel=tolerance, abs=1e-12)


@pytest.mark.parametrize("log_s", [math.log(s) for s in (1e-4, 1e-2, 0.2, 1.0, 10.0, 1e4)])
def test_float32_agrees_with_float64(log_s: float, rng: torch.Generator) -> None:
    """Down to s = 1e-4, where only the nearest point counts, and up to s = 1e4, where none does."""
    y = LATTICE.sample_dither((200,), rng)
    scales = torch.full((24,), log_s) + 0.3 * torch.randn(24, generator=rng)
    values, gradients = [], []
    for dtype in (torch.float32, torch.float64):
        inputs = [v.to(dtype).requires_grad_() for v in (y, scales)]
        values.append(LATTICE.log_theta(*inputs))
        gradients.append(torch.autograd.grad(values[-1].sum(), inputs[1])[0])
    torch.testing.assert_close(values[0].double(), values[1], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-4, atol=1e-2)


def test_registered() -> None:
    assert isinstance(make_lattice("leech"), Leech)
