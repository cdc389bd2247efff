"""The coding order: one path of symbols for each class of points, and none for anything else."""

import math

import numpy as np
import pytest
import torch

from onmt_lattice.bitstream import DitherKey, LatticeCodec
from onmt_lattice.codes import make_code
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import make_lattice

NAMES = [
    *("Z", "A2", "A5", "A3*", "D2", "D5", "D3*", "E8", "BW16", "Leech"),
    *("conv4-8", "conv16-16", "conv9-12", "conv25-18", "z4conv64-12"),
]
every_lattice = pytest.mark.parametrize("name", NAMES)


@every_lattice
def test_integers_off_the_lattice_have_no_path(name: str) -> None:
    lattice = make_lattice(name)
    codec = LatticeCodec(make_code("discrete_gaussian", lattice), torch.zeros(1, lattice.dim))
    generator, one = torch.Generator().manual_seed(0), DitherKey(0, (0,))
    shape = 30, lattice.dim
    z = lattice.point(torch.randint(-9, 10, shape, generator=generator))
    units = torch.from_numpy(lattice.coding_order.units)
    moved = (z / units).round() + torch.randint(-1, 2, shape, generator=generator)
    for point, inside in zip(moved * units, lattice.contains(moved * units).tolist(), strict=True):
        if inside:
            codec.encode(point[None, None], one)
        else:
            with pytest.raises(UserError, match="expected a point of the lattice"):
                codec.encode(point[None, None], one)


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
    assert lattice.contains(torch.diag(torch.from_numpy(order.periods * order.units))).all()
    assert math.log(paths[-1][0]) == pytest.approx(box - lattice.log_volume, abs=1e-9)
