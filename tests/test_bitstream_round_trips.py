"""Points and symbols by the thousand come back exactly, at any scale, outliers among them.

The system tests are the same with 10^5 points of each lattice.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from onmt_lattice.bitstream import CategoricalCodec, DitherKey, LatticeCodec
from onmt_lattice.codes import make_code
from onmt_lattice.lattices import make_lattice

LATTICES = [
    *("Z", "A2", "A3", "A3*", "A7*", "D4", "D4*", "D5", "E8", "BW16", "Leech", "E8^2"),
    *("conv4-24", "conv64-24", "conv1024-40", "conv9-24", "conv729-40", "conv25-40", "z4conv64-24"),
]
CODES = [*((name, "discrete_gaussian") for name in LATTICES), ("Z", "convolved_gaussian")]
SCALES = np.logspace(-2, 3, 11)  # of prior and of what is quantized
POINTS = [2200, pytest.param(10**5, marks=pytest.mark.system)]


def outliers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers of any size up to 10^8.5, each in one of a hundred places, else 0."""
    size = 10.0 ** rng.uniform(0, 8.5, shape) * rng.choice([-1, 1], shape)
    return np.where(rng.random(shape) < 0.01, size, 0.0)


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("name, code", CODES)
def test_points_come_back_exactly(name: str, code: str, points: int) -> None:
    lattice = make_lattice(name).with_second_moment(1.0)
    scales = torch.from_numpy(SCALES)[:, None].expand(-1, lattice.dim)
    codec = LatticeCodec(make_code(code, lattice), scales.log())
    key = DitherKey(2**63, tuple(range(-(-points // len(SCALES)))))
    rng = np.random.default_rng(0)
    shape = (len(key.indices), *scales.shape)
    x = scales * torch.from_numpy(rng.standard_normal(shape) + outliers(rng, shape))
    found = lattice.nearest_point(x + codec.dither(key))
    units = torch.from_numpy(codec.units).repeat(lattice.dim // len(codec.units))
    exact = (found / units).round()
    data = codec.encode(exact * units, key)
    assert torch.equal(codec.decode(data, key), exact * units)
    assert exact.abs().max() > 1e9  # there were outliers
    assert 8 * len(data) < 1.001 * codec.bits(exact * units, key) + 200  # and they cost bits only


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("entries", [2, 3, 300])
@pytest.mark.parametrize("scale", [0.01, 1000.0])
def test_symbols_come_back_exactly(entries: int, scale: float, points: int) -> None:
    rng = np.random.default_rng(0)
    codec = CategoricalCodec(torch.from_numpy(scale * rng.standard_normal((10, entries))))
    symbols = torch.from_numpy(rng.integers(entries, size=(points // 10, 10)))
    assert torch.equal(codec.decode(codec.encode(symbols), len(symbols)), symbols)
