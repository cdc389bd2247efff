"""Lattices from convolutional codes: what the laws of all lattices do not say."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from onmt_lattice.errors import UserError
from onmt_lattice.lattices import ConvolutionalLattice, make_lattice
from onmt_lattice.lattices.generators import GENERATORS
from onmt_lattice.lattices.trellis import LOG_SUM

SMALL = [states for states in GENERATORS if states <= 32]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def least(states: int) -> ConvolutionalLattice:
    """Return the lattice of least dimension."""
    return ConvolutionalLattice(states, 4 * (len(GENERATORS[states].taps[0]) - 1))


def points_and_scales(lattice: ConvolutionalLattice, count: int) -> tuple[Tensor, Tensor]:
    y = 9 * torch.randn(count, lattice.dim, generator=generator(), dtype=torch.float64)
    log_s = torch.randn(count, lattice.dim, generator=generator(1), dtype=torch.float64)
    return y, 0.4 * log_s - 0.3


@pytest.mark.parametrize("states", GENERATORS)
def test_the_points_are_the_integers_whose_residues_are_words(states: int) -> None:
    lattice = least(states)
    q, sections = lattice.encoder.q, lattice.encoder.sections
    messages = torch.randint(q, (200, sections), generator=generator())
    words = lattice.encoder.word(messages)
    shift = q * torch.randint(-5, 6, words.shape, generator=generator())
    assert lattice.contains((words + shift).double()).all()
    assert torch.equal(lattice.encoder.message(words), messages)
    off = words.clone()
    off[:, 3] += 1  # no two words differ at one place only
    assert not lattice.contains(off.double()).any()


def test_all_words_are_paths_and_all_paths_are_words() -> None:
    """Walk the trellis by its definition, and count."""
    lattice = least(4)
    code = lattice.encoder
    paths = [(s, ()) for s in range(code.states) if code.starts[s]]
    for _ in range(code.sections):
        paths = [
            (
                ahead,
                (
                    *word,
                    int(code.labels[ahead, way]) // code.q,
                    int(code.labels[ahead, way]) % code.q,
                ),
            )
            for state, word in paths
            for ahead, way in itertools.product(range(code.states), range(code.q))
            if ahead // code.q + way * (code.states // code.q) == state
        ]
    walked = {word for state, word in paths if code.ends[state]}
    messages = torch.cartesian_prod(*[torch.arange(code.q)] * code.sections)
    assert walked == {tuple(word) for word in code.word(messages).tolist()}
    assert len(walked) == code.q**code.sections


@pytest.mark.parametrize("states", SMALL)
@pytest.mark.parametrize("n", [20, 50])
def test_kernels_agree_with_the_eager_folds(states: int, n: int) -> None:
    lattice = ConvolutionalLattice(states, n)
    y, log_s = points_and_scales(lattice, 21)
    assert torch.equal(lattice.nearest_point(y), lattice._decode(y.T).T)
    y.requires_grad_()
    log_s.requires_grad_()
    value, expected = lattice.log_theta(y, log_s), lattice._fold(y, log_s, LOG_SUM)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-10)
    weights = torch.randn(len(y), generator=generator(), dtype=torch.float64)
    for got, slow in zip(
        torch.autograd.grad(value @ weights, (y, log_s)),
        torch.autograd.grad(expected @ weights, (y, log_s)),
        strict=True,
    ):
        torch.testing.assert_close(got, slow, rtol=1e-9, atol=1e-10)


def test_sums_that_the_linear_domain_cannot_hold_are_as_exact() -> None:
    """Scales of all sizes in one point: narrow ones weigh a class by e^-1000 and less."""
    lattice = ConvolutionalLattice(16, 32)
    y, _ = points_and_scales(lattice, 8)
    log_s = torch.linspace(-6, 2, lattice.dim, dtype=torch.float64)
    for scales in (log_s, log_s.flip(0), log_s[torch.randperm(32, generator=generator())]):
        both = [v.clone().requires_grad_() for v in (y, scales)]
        value, expected = lattice.log_theta(*both), lattice._fold(*both, LOG_SUM)
        assert torch.isfinite(value).all()
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-9)
        for got, slow in zip(
            torch.autograd.grad(value.sum(), both),
            torch.autograd.grad(expected.sum(), both),
            strict=True,
        ):
            torch.testing.assert_close(got, slow, rtol=1e-9, atol=1e-9)


def test_scales_around_the_least_that_kernels_sum_themselves() -> None:
    """From those that are safe, to those that are found to be, to those left to the eager fold."""
    lattice = ConvolutionalLattice(16, 32)
    y, _ = points_and_scales(lattice, 50)
    for log_s in torch.linspace(-4.5, -1.5, 16, dtype=torch.float64):
        value, expected = lattice.log_theta(y, log_s), lattice._fold(y, log_s[None], LOG_SUM)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-9)
        u = lattice.sample_dither((50,), generator(), torch.float64)
        both = u.requires_grad_(), u.detach().clone().requires_grad_()
        lattice.log_theta(both[0], log_s).sum().backward()
        lattice._fold(both[1], log_s[None], LOG_SUM).sum().backward()
        torch.testing.assert_close(both[0].grad, both[1].grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("log_s", [-16.0, -8.0, 8.0, 16.0])
def test_scales_at_the_ends_of_the_range_of_codes(log_s: float) -> None:
    lattice = ConvolutionalLattice(9, 20)
    y, scales = points_and_scales(lattice, 7)[0], torch.tensor([log_s], dtype=torch.float64)
    y = y - lattice.nearest_point(y)
    both = [(y.clone().requires_grad_(), scales.clone().requires_grad_()) for _ in range(2)]
    value = lattice.log_theta(*both[0])
    expected = lattice._fold(both[1][0], both[1][1].expand(20), LOG_SUM)
    torch.testing.assert_close(value, expected, rtol=1e-13, atol=1e-12)
    value.sum().backward()
    expected.sum().backward()
    for got, slow in zip(*both, strict=True):
        torch.testing.assert_close(got.grad, slow.grad, rtol=1e-12, atol=1e-12)


def test_float32_is_summed_as_finely_as_float64() -> None:
    lattice = ConvolutionalLattice(16, 50)
    both = [v.float().requires_grad_() for v in points_and_scales(lattice, 9)]
    fine = [v.detach().double().requires_grad_() for v in both]
    value, expected = lattice.log_theta(*both), lattice.log_theta(*fine)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected.float())
    value.sum().backward()
    expected.sum().backward()
    for got, exact in zip(both, fine, strict=True):
        assert torch.equal(got.grad, exact.grad.float())


@pytest.mark.parametrize("name", ["conv16-500", "conv64-500"])
def test_hundreds_of_dimensions(name: str) -> None:
    lattice = make_lattice(name).with_second_moment(1.0)
    u = lattice.sample_dither((200,), generator(), dtype=torch.float64)
    moments = u.square().mean(-1)
    assert abs(moments.mean() - 1) < 4 * moments.std() / len(u) ** 0.5 + 2e-3
    z = lattice.point(torch.randint(-9, 10, (20, 500), generator=generator()))
    assert lattice.contains(z).all() and not lattice.contains(z + 0.01).any()
    assert lattice.log_volume == pytest.approx(
        torch.linalg.slogdet(lattice.basis).logabsdet.item(), rel=1e-12
    )
    x = z + 3 * torch.randn(z.shape, generator=generator(), dtype=torch.float64)
    moved = lattice.nearest_point(x + z)
    torch.testing.assert_close(moved, lattice.nearest_point(x) + z, rtol=0, atol=1e-9)


def test_a_volume_beyond_all_floats_does_no_harm() -> None:
    lattice = ConvolutionalLattice(4, 3000).with_second_moment(1.0)
    assert lattice.volume == float("inf")
    assert lattice.second_moment == pytest.approx(1.0)
    u = lattice.sample_dither((3,), generator())
    assert u.square().mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("states", GENERATORS)
def test_the_dithers_second_moment_at_the_least_dimensions(states: int) -> None:
    for lattice in least(states), ConvolutionalLattice(states, least(states).dim + 2):
        u = lattice.with_second_moment(1.0).sample_dither((8_000,), generator(), torch.float64)
        moments = u.square().mean(1)
        assert abs(moments.mean() - 1) < 4 * moments.std() / len(u) ** 0.5 + 3e-3


def test_the_second_moments_of_the_ends_are_measured() -> None:
    lattice = ConvolutionalLattice(16, 64).with_second_moment(1.0)
    squares = lattice.sample_dither((20_000,), generator(1), torch.float64).square()
    errors = squares.std(0) / len(squares) ** 0.5
    assert ((squares.mean(0) - lattice.second_moments) / errors).abs().max() < 4.5
    assert lattice.second_moments.mean() == pytest.approx(1, abs=3e-3)
    assert lattice.second_moments.max() > 1.2


def test_the_middle_comes_first() -> None:
    order = ConvolutionalLattice(4, 8).place_order
    assert sorted(order) == list(range(8))
    assert set(order[:2]) == {3, 4} and set(order[-2:]) == {0, 7}
    assert make_lattice("E8").place_order == tuple(range(8))


@pytest.mark.parametrize(
    "name, cure",
    [
        ("conv64-97", "even number from 24 to 4096"),
        ("conv64-12", "even number from 24 to 4096"),
        ("conv60-96", "expected one of 4, 8, "),
        ("conv64", "'n'; expected something like 'conv64-96'"),
    ],
)
def test_members_that_there_are_not(name: str, cure: str) -> None:
    with pytest.raises(UserError, match=cure):
        make_lattice(name)
