import pytest
import torch
from scaled_code import ScaledCode
from torch import Tensor

from onmt_lattice.codes import ConvolvedGaussianCode, DiscreteGaussianCode
from onmt_lattice.lattices import Lattice, ProductLattice, make_lattice
from onmt_lattice.lattices.barnes_wall import BarnesWall16
from onmt_lattice.lattices.checkerboard import Checkerboard, DualCheckerboard
from onmt_lattice.lattices.convolutional import ConvolutionalLattice
from onmt_lattice.lattices.cubic import Cubic
from onmt_lattice.lattices.e8 import E8
from onmt_lattice.lattices.leech import Leech
from onmt_lattice.lattices.simplex import DualSimplex, Simplex, project
from onmt_lattice.noise import StreamNoise

SINGLE = [
    Cubic(1),
    Cubic(3),
    Simplex(2).scaled(0.7),
    Simplex(5),
    DualSimplex(2),
    DualSimplex(4).scaled(1.9),
    Checkerboard(4),
    Checkerboard(5).scaled(2.5),
    DualCheckerboard(3).scaled(0.6),
    DualCheckerboard(4),
    E8().scaled(1.3),
    BarnesWall16().scaled(0.4),
    Leech().scaled(1.7),
]
SECTIONS = [ConvolutionalLattice(4, 8).scaled(0.6), ConvolutionalLattice(16, 16)]
PRODUCTS = [
    ProductLattice(E8().scaled(0.8), 2).scaled(1.5),
    ProductLattice(Simplex(2), 3),
    ProductLattice(ProductLattice(Cubic(1), 2), 2),
]
# The period of a coset's coordinates at scale 1, and whether their sum is checked.
PERIODS = {
    Cubic: (1.0, False),
    Checkerboard: (1.0, True),
    DualCheckerboard: (1.0, False),
    E8: (1.0, True),
    BarnesWall16: (2**0.5, True),
    Leech: (2**0.5, True),
}
every_lattice = pytest.mark.parametrize("lattice", SINGLE + PRODUCTS + SECTIONS, ids=repr)
single_lattice = pytest.mark.parametrize("lattice", SINGLE, ids=repr)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def points(lattice: Lattice, *shape: int, spread: int = 3) -> Tensor:
    size = (*shape, lattice.dim)
    return lattice.point(torch.randint(-spread, spread + 1, size, generator=generator()))


def dithers(lattice: Lattice, *shape: int) -> Tensor:
    return lattice.sample_dither(shape, generator(), torch.float64)


def scales(lattice: Lattice, *shape: int) -> Tensor:
    """Anisotropic log scales around the cell's size."""
    spread = 2 * torch.rand((*shape, lattice.dim), generator=generator(), dtype=torch.float64) - 1.2
    return spread + 0.5 * torch.tensor(lattice.second_moment * 4).log()


def log_prob(lattice: Lattice, y: Tensor, log_s: Tensor) -> Tensor:
    return -0.5 * (y / log_s.exp()).square().sum(-1) - lattice.log_theta(y, log_s)


def triangular_basis(lattice: Lattice) -> Tensor:
    """``(n, n)``: row i is the least change of coordinate i that changes no symbol before it.

    Told from the definitions of the lattices, not from their coding orders.
    """
    n = lattice.dim
    axes = torch.eye(n + 1, dtype=torch.float64)
    if isinstance(lattice, Simplex):
        rows = axes[1:] - axes[1:].roll(-1, 0)
        rows[-1] = torch.tensor([1.0] * n + [-n])
        return project(rows.T).T * lattice.scale
    if isinstance(lattice, DualSimplex):
        return project(axes[1:].T).T * lattice.scale
    period, checked = PERIODS[type(lattice)]
    basis = torch.eye(n, dtype=torch.float64)
    if checked:
        basis += torch.eye(n).roll(1, 1)
        basis[-1, 0], basis[-1, -1] = 0, 2
    return basis * period * lattice.scale


@every_lattice
def test_steps_sum_to_the_log_probability(lattice: Lattice) -> None:
    y = points(lattice, 3, 4) - dithers(lattice, 4)
    log_s = scales(lattice, 4)
    steps = lattice.log_prob_steps(y, log_s)
    assert steps.shape == (3, 4, len(lattice.coding_order))
    torch.testing.assert_close(steps.sum(-1), log_prob(lattice, y, log_s), rtol=1e-12, atol=1e-9)
    assert (steps < 1e-9).all()


@every_lattice
def test_one_scale_serves_all_coordinates(lattice: Lattice) -> None:
    y = points(lattice, 2) - dithers(lattice, 2)
    log_s = torch.tensor([-0.3], dtype=torch.float64)
    expected = lattice.log_prob_steps(y, log_s.expand(lattice.dim))
    torch.testing.assert_close(lattice.log_prob_steps(y, log_s), expected)


@single_lattice
def test_every_coordinate_sums_to_one(lattice: Lattice) -> None:
    y, log_s = points(lattice, 2, spread=1) - dithers(lattice, 2), scales(lattice)
    for i, change in enumerate(triangular_basis(lattice)):
        # The sum runs over the values of symbol i, a window around its centre of mass.
        step = change[i].abs()
        reach = int(10 * log_s[i].exp() / step) + 3
        centre = -(y[:, i] / change[i]).round()
        k = centre[:, None] + torch.arange(-reach, reach + 1)
        steps = lattice.log_prob_steps(y[:, None] + k[..., None] * change, log_s)
        at = i - lattice.dim
        assert steps[..., at].exp().sum(-1).tolist() == pytest.approx([1, 1], abs=1e-9)
        # What is coded before does not depend on it.
        before = steps[..., : steps.shape[-1] + at]
        torch.testing.assert_close(before, before[:, :1].expand_as(before), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "lattice, cosets",
    [(DualCheckerboard(3), 2), (E8().scaled(1.3), 2), (BarnesWall16(), 32), (Leech(), 8192)],
    ids=repr,
)
def test_the_coset_sums_to_one(lattice: Lattice, cosets: int) -> None:
    symbols = torch.zeros(cosets, len(lattice.coding_order), dtype=torch.int64)
    symbols[:, 0] = torch.arange(cosets)
    y = lattice.point_of_symbols(symbols) - dithers(lattice)
    steps = lattice.log_prob_steps(y, scales(lattice))
    assert float(steps[:, 0].exp().sum()) == pytest.approx(1, abs=1e-9)


@every_lattice
def test_symbols_tell_the_point(lattice: Lattice) -> None:
    z = points(lattice, 50, 2, spread=40)
    symbols = lattice.symbols(z)
    assert symbols.shape == (50, 2, len(lattice.coding_order)) and symbols.dtype == torch.int64
    torch.testing.assert_close(lattice.point_of_symbols(symbols), z, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(lattice.symbols(z.float()), symbols)


@single_lattice
def test_symbols_before_a_change_stay(lattice: Lattice) -> None:
    z = points(lattice, 20)
    symbols = lattice.symbols(z)
    for i, change in enumerate(triangular_basis(lattice)):
        changed, at = lattice.symbols(z + change), symbols.shape[-1] - lattice.dim + i
        assert torch.equal(changed[:, :at], symbols[:, :at])
        assert (changed[:, at] != symbols[:, at]).all()


def test_names_of_the_steps() -> None:
    assert make_lattice("Z").coding_order == ("x1",)
    assert make_lattice("A2").coding_order == ("x1", "x2")
    assert E8().coding_order == ("coset", *(f"x{i}" for i in range(1, 9)))
    assert ProductLattice(Checkerboard(2), 2).coding_order == (
        "block1.x1",
        "block1.x2",
        "block2.x1",
        "block2.x2",
    )


@every_lattice
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_far_out_and_at_extreme_scales(lattice: Lattice, dtype: torch.dtype) -> None:
    for distance in (0.0, 1.0, 1e5):
        for log_s in (-8.0, 0.0, 16.0):
            y = torch.full((2, lattice.dim), distance, dtype=dtype).requires_grad_()
            scale = torch.tensor(log_s, dtype=dtype).requires_grad_()
            steps = lattice.log_prob_steps(y, scale)
            assert steps.dtype == dtype and steps.isfinite().all()
            for gradient in torch.autograd.grad(steps.sum(), (y, scale)):
                assert gradient.isfinite().all()


@pytest.mark.parametrize("lattice", [Simplex(3), DualCheckerboard(2), E8()], ids=repr)
def test_gradients(lattice: Lattice) -> None:
    y = (points(lattice, 2, spread=1) - dithers(lattice, 2)).requires_grad_()
    log_s = scales(lattice).requires_grad_()
    assert torch.autograd.gradcheck(lattice.log_prob_steps, (y, log_s))


def test_refuses_what_is_no_point() -> None:
    lattice = Checkerboard(4)
    with pytest.raises(ValueError, match="no point of lattice D4"):
        lattice.symbols(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match="no point of lattice D4"):
        lattice.point_of_symbols(torch.tensor([1, 0, 0, 0]))
    with pytest.raises(ValueError, match="has 9 symbols"):
        E8().point_of_symbols(torch.zeros(8, dtype=torch.int64))
    with pytest.raises(ValueError, match="has 18 symbols"):
        ProductLattice(E8(), 2).point_of_symbols(torch.zeros(17, dtype=torch.int64))
    for coset in (-1, 2):
        with pytest.raises(ValueError, match="coset symbol"):
            E8().point_of_symbols(torch.tensor([coset] + [0] * 8))


def test_a_lattice_without_an_order_says_which_have_one() -> None:
    class Own(Lattice):
        name, dim, unit_basis = "own", 1, torch.eye(1, dtype=torch.float64)

        def _nearest(self, x: Tensor) -> Tensor:
            return x.round()

        def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
            return Cubic(1)._log_theta(y, log_s)

    with pytest.raises(NotImplementedError, match="own has no coding order; Z, D_n"):
        Own().log_prob_steps(torch.zeros(1), torch.zeros(1))
    with pytest.raises(NotImplementedError, match="own has no coding order"):
        _ = Own().coding_order


@pytest.mark.parametrize("code", ["discrete_gaussian", "convolved_gaussian"])
@pytest.mark.parametrize("name", ["Z", "A2", "E8"])
def test_codes_steps_sum_to_their_log_prob(name: str, code: str) -> None:
    lattice = make_lattice(name)
    log_s = torch.randn(3, lattice.dim, generator=generator(), dtype=torch.float64)
    model = ScaledCode(code, lattice, log_s, blocks=3)
    y = points(lattice, 4, 3) - dithers(lattice, 4, 3)
    steps = model.log_prob_steps(y, StreamNoise(generator()))
    assert steps.shape == (4, 3, len(model.code.coding_order)) and steps.dtype == torch.float64
    expected = model.log_prob(y, StreamNoise(generator()))
    torch.testing.assert_close(steps.sum(-1), expected, rtol=1e-12, atol=1e-9)


def test_codes_name_their_steps() -> None:
    assert DiscreteGaussianCode(E8()).coding_order == E8().coding_order
    assert ConvolvedGaussianCode(E8()).coding_order == ("point",)
