import itertools
import math
from fractions import Fraction

import pytest
import torch

from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.checkerboard import fold_parity, parity, uniform_sum_deviation


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize(
    ("add", "total"), [(torch.logaddexp, torch.logsumexp), (torch.maximum, torch.amax)]
)
def test_fold_parity_adds_up_all_words_of_each_parity(n: int, add, total) -> None:
    weights = torch.randn(2, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    words = torch.tensor(list(itertools.product([0, 1], repeat=n)))
    path = torch.where(words == 0, weights[0], weights[1]).sum(-1)
    for bit, folded in enumerate(fold_parity(weights[0], weights[1], add)):
        torch.testing.assert_close(folded, total(path[words.sum(-1) % 2 == bit], 0))


def test_parity_of_numbers_too_large_to_sum() -> None:
    x = torch.tensor([[3.0, -3.0, 2.0**24, 2.0**23 + 1], [0.0, -1.0, 2.0**24 + 2, 2.0**23]])
    assert parity(x).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("name", ["D4", "E8", "D4*"])
def test_large_float32_points_decode_to_the_lattice(name: str) -> None:
    lattice = make_lattice(name)
    x = torch.rand(1000, lattice.dim, generator=torch.Generator().manual_seed(0)) * 2**17
    assert lattice.contains(lattice.nearest_point(x)).all()


@pytest.mark.parametrize(
    ("name", "published"),
    # Conway & Sloane, SPLAG, table 2.3 and chapter 21
    [("D3", 0.0787451), ("D4", 0.0766032), ("D3*", 0.0785433), ("D4*", 0.0766032)],
)
def test_published_second_moments(name: str, published: float) -> None:
    assert make_lattice(name).nsm == pytest.approx(published, abs=5e-8)


def test_uniform_sum_deviation() -> None:
    assert uniform_sum_deviation(1) == Fraction(1, 4)
    assert uniform_sum_deviation(2) == Fraction(1, 3)
    sums = torch.rand(400_000, 7, generator=torch.Generator().manual_seed(0)).double().sum(-1)
    deviation = (sums - 3.5).abs()
    error = deviation.std() / math.sqrt(len(sums))
    assert abs(deviation.mean() - float(uniform_sum_deviation(7))) < 3 * error


def test_self_dual_up_to_scale() -> None:
    """D4* is D4 turned and shrunk by √2, D2* is D2 shrunk by 2."""
    for n, factor in ((2, 2), (4, math.sqrt(2))):
        lattice, dual = make_lattice("D", n=n), make_lattice("D*", n=n)
        assert dual.nsm == pytest.approx(lattice.nsm)
        assert dual.kissing_number == lattice.kissing_number
        assert dual.covering_radius == pytest.approx(lattice.covering_radius / factor)
