import math

import numpy as np
import pytest
import torch
from torch import Tensor

from onmt_lattice.bitstream.tree import Tree
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import Lattice, make_lattice
from onmt_lattice.lattices.cubic import Cubic
from onmt_lattice.lattices.order import group_order

NAMES = [
    *("Z", "A2", "A5", "A2*", "A3*", "D2", "D4", "D5", "D3*", "E8", "BW16", "Leech"),
    *("conv4-8", "conv16-16", "conv9-12", "conv25-18"),
]
every_lattice = pytest.mark.parametrize("name", NAMES)


def integer_points(lattice: Lattice, count: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    z = lattice.point(torch.randint(-9, 10, (count, lattice.dim), generator=generator))
    return np.rint(z.numpy() / lattice.coding_order.units).astype(np.int64)


@every_lattice
def test_points_are_integers_that_repeat_with_the_periods(name: str) -> None:
    lattice = make_lattice(name)
    order = lattice.coding_order
    z = torch.from_numpy(integer_points(lattice, 50) * order.units)
    assert lattice.contains(z, atol=1e-9).all()
    torch.testing.assert_close(lattice.coordinates(z), lattice.coordinates(z + 1e-9))
    box = torch.diag(torch.from_numpy(order.periods * order.units))
    assert lattice.contains(box, atol=1e-9).all()


@every_lattice
def test_labels_tell_points_from_other_integers(name: str) -> None:
    lattice = make_lattice(name)
    order = lattice.coding_order
    tree = Tree(order)
    x = integer_points(lattice, 50)
    labels = np.zeros((len(x), len(order.labels)), dtype=np.int64)
    tree._choices(labels, x)
    assert (labels[:, -1] == 0).all() and (labels < order.labels).all()
    if lattice.dim == 1:
        return
    rng = np.random.default_rng(0)
    moved = x + rng.integers(-1, 2, x.shape)
    inside = lattice.contains(torch.from_numpy(moved * order.units)).tolist()
    for point, is_one in zip(moved, inside, strict=True):
        if is_one:
            tree._choices(labels[:1], point[None])
        else:
            with pytest.raises(UserError, match="expected a point of the lattice"):
                tree._choices(labels[:1], point[None])


@every_lattice
def test_the_number_of_paths_is_that_of_cosets(name: str) -> None:
    """There is one path for each class of points modulo the box of the periods."""
    lattice = make_lattice(name)
    order = lattice.coding_order
    paths = [np.ones(labels) for labels in order.labels[: order.first_node]]
    if order.end is not None:
        paths[-1] = order.ends.astype(float)
    for node in order.nodes:
        choices = node.choices
        both = paths[node.left][choices.left] * paths[node.right][choices.right]
        paths.append(both.sum(1))
    box = np.log(order.periods * order.units).sum()
    assert math.log(paths[-1][0]) == pytest.approx(box - lattice.log_volume, abs=1e-9)


@every_lattice
def test_each_step_knows_the_labels_it_is_given(name: str) -> None:
    order = make_lattice(name).coding_order
    known = {order.first_node + len(order.nodes) - 1} if order.nodes else set()
    for step in order.steps:
        assert len({order.nodes[i].choices.left.shape[1] for i in step}) == 1
        assert all(order.first_node + i in known for i in step)
        known |= {child for i in step for child in (order.nodes[i].left, order.nodes[i].right)}
    assert known >= set(range(order.dim)) or order.dim == 1


def test_scaling_leaves_the_order_as_it_is() -> None:
    lattice = make_lattice("E8")
    assert lattice.scaled(3.0).coding_order.units.tolist() == lattice.coding_order.units.tolist()


def test_units_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no integer vectors"):
        group_order(make_lattice("E8").unit_basis.numpy(), np.ones(8))


def test_a_lattice_without_an_order_says_which_have_one() -> None:
    class Own(Lattice):
        name, dim, unit_basis = "own", 1, torch.eye(1, dtype=torch.float64)

        def _nearest(self, x: Tensor) -> Tensor:
            return x.round()

        def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
            return Cubic(1)._log_theta(y, log_s)

    with pytest.raises(NotImplementedError, match="own has no coding order; Z, D_n"):
        _ = Own().coding_order
