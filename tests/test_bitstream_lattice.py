"""Lattice points in a stream: back exactly, at any scale, at their price."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import generator
from torch import Tensor

from onmt_lattice.bitstream import DitherKey, LatticeCodec, WrongCode
from onmt_lattice.bitstream.coder import Coder
from onmt_lattice.bitstream.coordinate import GRID
from onmt_lattice.codes import make_code
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import make_lattice
from onmt_lattice.noise import SentenceNoise, StreamNoise

NAMES = ["Z", "A2", "A3*", "D4", "E8", "BW16", "Leech", "E8^2", "conv16-96", "z4conv64-96"]
CODES = [*((name, "discrete_gaussian") for name in NAMES), ("Z", "convolved_gaussian")]
every_code = pytest.mark.parametrize("name, code", CODES)
KEY = DitherKey(3, tuple(range(10, 50)))
GRID_LATTICES = [
    *("Z", "A2", "A3", "A3*", "A7*", "D3*", "D4", "D4*", "D5", "D16", "E8", "BW16", "Leech"),
    *("conv4-96", "conv64-500", "conv9-96", "conv25-96", "z4conv256-96"),
]


def codec_on(name: str, code: str, log_s: float | None, dim: int = 96) -> LatticeCodec:
    """Return a codec of ``dim`` numbers: all of scale ``log_s``, or of scales of their own."""
    lattice = make_lattice(name).with_second_moment(1.0)
    shape = (dim // lattice.dim, lattice.dim)
    own = 2.5 * torch.randn(shape, generator=generator(), dtype=torch.float64)
    scales = own if log_s is None else torch.full(shape, log_s)
    return LatticeCodec(make_code(code, lattice), scales)


class Sampler(Coder):
    """Draws symbols from their distributions."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def symbols(self, frequencies: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        bounds = (frequencies + 1).cumsum(1)
        assert (bounds[:, -1] == 2**24).all()
        return (self.rng.integers(2**24, size=(len(bounds), 1)) >= bounds).sum(1)

    def _uniform(self, sizes: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        return self.rng.integers(sizes)


def drawn(codec: LatticeCodec, key: DitherKey) -> Tensor:
    """Return points with the law of the code."""
    points = codec._code(Sampler(), codec._steps(key), None) * codec.units
    return torch.from_numpy(points.reshape(-1, *codec.shape))


def ideal_bits(codec: LatticeCodec, points: Tensor, key: DitherKey) -> Tensor:
    """Return ``(sentences, blocks)``, the code's own price of ``points``."""
    y = points - codec.dither(key)
    return -codec.code.log_prob(y, codec.log_s, StreamNoise()) / math.log(2)


@every_code
@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0, None])
def test_points_come_back_at_their_price(name: str, code: str, scale: float | None) -> None:
    codec = codec_on(name, code, None if scale is None else math.log(scale))
    points = drawn(codec, KEY)
    data = codec.encode(points, KEY)
    torch.testing.assert_close(codec.decode(data, KEY), points, rtol=0, atol=0)
    ideal = float(ideal_bits(codec, points, KEY).sum())
    coded = 8 * len(codec.write(points, KEY))
    assert ideal * 0.9999 - 8 < coded <= ideal * 1.005 + 16
    assert codec.bits(points, KEY) == pytest.approx(ideal, rel=1e-3, abs=0.5)


@pytest.mark.parametrize("name", ["Z", "A2", "A3*", "D4", "E8", "BW16", "Leech", "conv16-96"])
def test_dither_is_uniform_modulo_the_lattice(name: str) -> None:
    codec = codec_on(name, "discrete_gaussian", 0.0)
    u = codec.dither(DitherKey(0, tuple(range(100))))
    assert u.shape == (100, *codec.shape)
    squares = (u - codec.code.lattice.nearest_point(u)).square().mean(-1).flatten()
    error = float(squares.std()) / len(squares) ** 0.5
    assert float(squares.mean()) == pytest.approx(1, abs=4 * error + 2e-3)


def test_dither_is_the_leading_bits_of_the_noise_there_is() -> None:
    key = DitherKey(2**63 + 5, (0, 7, 2**64 - 1))
    noise = SentenceNoise(key.seed, list(key.indices))
    uniforms = noise.uniform(torch.zeros(3, 1, dtype=torch.float64), 40)
    assert key.steps(40).tolist() == (uniforms * 2**20).floor().long().tolist()


@pytest.mark.parametrize("name", GRID_LATTICES)
def test_no_libm_decides_on_the_grid_of_scales(name: str) -> None:
    """Logarithms that are wrong in the last of 40 bits still round to the same steps."""
    lattice = make_lattice(name).with_second_moment(1.0)
    steps = np.log2(lattice.coding_order.units * lattice.scale) * (GRID * 2**10)
    assert np.abs(steps - np.floor(steps) - 0.5).min() > 1e-6


def test_what_is_no_point_is_refused() -> None:
    codec = codec_on("D4", "discrete_gaussian", 0.0)
    points = drawn(codec, KEY)
    unit = float(codec.units[0])
    with pytest.raises(UserError, match="complex128: expected"):
        codec.encode(points + 1j, KEY)  # the imaginary part would be lost
    with pytest.raises(UserError, match="complex64: expected finite"):
        LatticeCodec(codec.code, torch.zeros(24, 4) + 1j)
    for wrong in (points + 0.1, points + unit * torch.eye(4)[0].double(), points * math.nan):
        with pytest.raises(UserError, match="point"):
            codec.encode(wrong, KEY)
    with pytest.raises(UserError, match="beyond"):
        codec.encode(torch.full_like(points, 2.0**53 * unit), KEY)
    with pytest.raises(UserError, match=r"expected \(40, 24, 4\)"):
        codec.encode(points[:, :5], KEY)


def test_codes_that_cannot_be_written_are_refused() -> None:
    with pytest.raises(UserError, match="no code that could be written"):
        codec_on("E8", "convolved_gaussian", 0.0)
    code = make_code("discrete_gaussian", make_lattice("E8"))
    for log_s in (torch.zeros(8), torch.zeros(2, 4), torch.full((1, 8), math.inf)):
        with pytest.raises(UserError, match="expected finite numbers of shape"):
            LatticeCodec(code, log_s)


def test_another_code_or_key_is_told() -> None:
    codec = codec_on("E8", "discrete_gaussian", 0.0)
    data = codec.encode(drawn(codec, KEY), KEY)
    others = [
        (codec, DitherKey(4, KEY.indices)),
        (codec, DitherKey(3, KEY.indices[:-1])),
        (codec, DitherKey(3, KEY.indices[::-1])),
        (codec_on("E8", "discrete_gaussian", 0.1), KEY),
        (codec_on("D4", "discrete_gaussian", 0.0), KEY),
        (codec_on("E8", "discrete_gaussian", 0.0, dim=48), KEY),
    ]
    for other, key in others:
        with pytest.raises(WrongCode):
            other.decode(data, key)
