import math

import numpy as np
import pytest

from onmt_lattice.bitstream.line import GRID, STEPS_A_NAT, scale_grid
from onmt_lattice.bitstream.tree import Tree
from onmt_lattice.lattices import make_lattice

LATTICES = [
    *("Z", "A2", "A3", "A4", "A7*", "A8", "D3*", "D4", "D4*", "D5", "D16", "E8", "BW16", "Leech"),
    *("conv4-96", "conv8-96", "conv16-96", "conv64-500", "conv256-96", "conv9-96", "conv25-96"),
]


def units_of(name: str) -> np.ndarray:
    lattice = make_lattice(name).with_second_moment(1.0)
    return Tree(lattice.coding_order).order.units * lattice.scale


@pytest.mark.parametrize("name", LATTICES)
def test_no_libm_decides_on_the_grid_of_scales(name: str) -> None:
    """Logarithms that are wrong in the last of 40 bits still round to the same steps."""
    steps = np.log2(units_of(name)) * (GRID * 2**10)
    assert np.abs(steps - np.floor(steps) - 0.5).min() > 1e-6


def test_scales_come_to_their_nearest_step() -> None:
    assert STEPS_A_NAT == pytest.approx(GRID / math.log(2), rel=1e-15)
    log_s = np.linspace(-8, 16, 1001)
    for name in ("Z", "A2", "Leech"):
        units = units_of(name)
        grid = scale_grid(np.tile(log_s[:, None], len(units)), units)
        back = grid * math.log(2) / GRID + np.log(units)
        assert np.abs(back - log_s[:, None]).max() <= math.log(2) / GRID * (0.5 + 2**-10)
