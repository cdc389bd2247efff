"""BW16 and the Leech lattice against their definition: each coset decoded and summed by itself.

At a scale of integers their points are τ·1 + m·c + 2m·k, with c a word of a binary code and k
integers of a sum of the parity of τ. BW16 has m = 1, τ = 0 and the Reed-Muller code; Leech m = 2,
τ in 0, 1 and the Golay code (Conway & Sloane, SPLAG, chapter 4, sections 10 and 11).
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from onmt_lattice.lattices import Lattice, make_lattice
from onmt_lattice.lattices.barnes_wall import reed_muller_words
from onmt_lattice.lattices.golay import golay_generator, span

F64 = torch.float64


class Definition(NamedTuple):
    """What defines a lattice, and what is known of it.

    Attributes:
        lattice: the lattice.
        unit: a point times this is an integer vector.
        m: the step of the code.
        taus: the values of τ.
        words: ``(N, n)``.
        weights: the number of words of each weight.
        hole: a deep hole, times ``unit``.
        far: an integer vector off the lattice, times ``unit``; and how many points are √2 from it.
    """

    lattice: Lattice
    unit: float
    m: int
    taus: tuple[int, ...]
    words: Tensor
    weights: dict[int, int]
    hole: list[int]
    far: tuple[list[int], int]


DEFINITIONS = {
    "BW16": Definition(
        *(make_lattice("bw16"), math.sqrt(2), 1, (0,), reed_muller_words(4)),
        {0: 1, 8: 30, 16: 1},
        [1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1],
        ([2] + 15 * [0], 32),
    ),
    "Leech": Definition(
        *(make_lattice("leech"), math.sqrt(8), 2, (0, 1), span(golay_generator())),
        {0: 1, 8: 759, 12: 2576, 16: 759, 24: 1},
        [4] + 23 * [0],
        ([4] + 23 * [0], 48),
    ),
}


@pytest.fixture(params=DEFINITIONS)
def definition(request: pytest.FixtureRequest) -> Definition:
    return DEFINITIONS[request.param]


def uniform(of: Definition, count: int, rng: torch.Generator) -> Tensor:
    return 20 * torch.rand(count, of.lattice.dim, generator=rng, dtype=F64) - 10


def distance_to_cosets(of: Definition, x: Tensor) -> Tensor:
    """Return ``(N,)`` squared distances to the nearest coset, each by rounding and mending."""
    tau = torch.tensor(of.taus, dtype=F64).repeat_interleave(len(x))
    x = (x * of.unit).T.repeat(1, len(of.taus)) - tau  # (n, τ and N)
    halves = torch.stack([x, x - of.m], 1) / (2 * of.m)  # (n, c, τ and N)
    rounded = halves.round()
    error = (halves - rounded).abs()
    chosen = torch.stack([1 - of.words, of.words], 2).flatten(1).double()  # (words, n and c)
    odd = (chosen @ rounded.flatten(0, 1) + tau) % 2
    largest = torch.zeros_like(odd)
    for bits, errors in zip(of.words.T, error, strict=True):
        torch.maximum(largest, errors.index_select(0, bits), out=largest)
    distance = chosen @ error.square().flatten(0, 1) + odd * (1 - 2 * largest)
    return (2 * of.m / of.unit) ** 2 * distance.amin(0).view(len(of.taus), -1).amin(0)


def log_theta_by_signs(of: Definition, y: Tensor, log_s: Tensor) -> Tensor:
    """Return log Θ by matrix products with the code: ½(Π(E + O) ± Π(E − O)) for each coset.

    E and O are the sums over τ + m·c + 4m·k and τ + m·c + 2m + 4m·k.
    """
    k = 4.0 * of.m * torch.arange(-30, 31, dtype=F64)
    y, s, code = y * of.unit, log_s.exp() * of.unit, of.words.double()

    def line(residue: int) -> Tensor:
        distances = (y - residue)[..., None] - k
        return (-distances.square() / (2 * s[..., None].square())).exp().sum(-1)

    total = torch.zeros(())
    for tau, sign in itertools.product(of.taus, (1, -1)):
        zeros = line(tau) + sign * line(tau + 2 * of.m)
        ones = line(tau + of.m) + sign * line(tau + 3 * of.m)
        log_zeros, log_ones = (v.abs().clamp_min(1e-300).log() for v in (zeros, ones))
        logs = log_ones @ code.T + log_zeros @ (1 - code).T
        minus = (ones < 0).double() @ code.T + (zeros < 0).double() @ (1 - code).T
        signs = (1 - 2 * (minus % 2)) * (sign if tau else 1)
        total = total + (signs * logs.exp()).sum(-1) / 2
    return total.log()


def test_the_code_is_linear_and_has_its_weights(definition: Definition) -> None:
    words = definition.words
    weights = words.sum(1).bincount().tolist()
    assert {w: n for w, n in enumerate(weights) if n} == definition.weights
    assert len(words.unique(dim=0)) == len(words)
    i, j = torch.randint(len(words), (2, 500), generator=torch.Generator().manual_seed(0))
    assert len(torch.cat([words, words[i] ^ words[j]]).unique(dim=0)) == len(words)


def test_the_basis_generates_the_construction(definition: Definition) -> None:
    """Its rows are points; of its index in ℤⁿ, there are no others. Leech is even, unimodular."""
    lattice, m, n = definition.lattice, definition.m, definition.lattice.dim
    rows = (lattice.unit_basis * definition.unit).round().long()
    tau = rows[:, :1] % 2 if 1 in definition.taus else 0 * rows[:, :1]
    words = (rows - tau) // m % 2
    k = (rows - tau - m * words) // (2 * m)
    assert torch.equal(rows, tau + m * words + 2 * m * k)
    assert ((k.sum(1) - tau[:, 0]) % 2 == 0).all()
    assert len(torch.cat([definition.words, words]).unique(dim=0)) == len(definition.words)
    cosets = len(definition.taus) * len(definition.words)
    assert lattice.volume == pytest.approx((2 * m) ** n * 2 / cosets / definition.unit**n)
    gram = lattice.basis @ lattice.basis.T
    torch.testing.assert_close(gram, gram.round())
    assert (gram.diagonal().round() % 2 == 0).all()


def test_no_coset_is_nearer(definition: Definition, rng: torch.Generator) -> None:
    """A coset of 32, or of 8,192, that is never decoded would be missed by hundreds of points."""
    x = uniform(definition, 3_000 if len(definition.words) == 32 else 400, rng)
    nearest = definition.lattice.nearest_point(x)
    assert definition.lattice.contains(nearest).all()
    best = torch.cat([distance_to_cosets(definition, part) for part in x.split(50)])
    torch.testing.assert_close((x - nearest).square().sum(1), best, rtol=0, atol=1e-9)


def test_a_deep_hole(definition: Definition) -> None:
    """Half of a vector of norm 12, or 8, is as far from the lattice as any point is."""
    hole = torch.tensor(definition.hole, dtype=F64)[None] / definition.unit
    distance = (hole - definition.lattice.nearest_point(hole)).norm().item()
    assert distance == pytest.approx(definition.lattice.covering_radius)
    assert distance_to_cosets(definition, hole).item() == pytest.approx(distance**2)


def test_log_theta_is_the_sum_over_cosets(definition: Definition, rng: torch.Generator) -> None:
    """Down to scales where the signed sums lose precision."""
    shape = 10, definition.lattice.dim
    for log_s, spread in ((-0.9, 0.3), (-0.5, 0.0), (-0.3, 0.3), (0.5, 0.3)):
        y = uniform(definition, 10, rng)
        scales = log_s + spread * torch.randn(shape, generator=rng, dtype=F64)
        expected = log_theta_by_signs(definition, y, scales)
        value = definition.lattice.log_theta(y, scales)
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-12), (torch.float32, 1e-6)])
def test_log_theta_where_the_alternating_sums_cancel(
    definition: Definition, dtype: torch.dtype, tolerance: float
) -> None:
    """Far from all cosets Π(E + O) ≈ Π(E − O); all of the nearest points are √2 away."""
    far, count = definition.far
    y = torch.tensor(far, dtype=dtype) / definition.unit
    for log_s in (-2.5, -4.0):
        theta = definition.lattice.log_theta(y, torch.tensor(log_s, dtype=dtype))
        expected = math.log(count) - 2 / (2 * math.exp(2 * log_s))
        assert theta.item() == pytest.approx(expected, rel=tolerance, abs=1e-12)
