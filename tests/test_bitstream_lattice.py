import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from onmt_lattice.bitstream import (
    AlteredBitstream,
    BitstreamError,
    DitherKey,
    LatticeCodec,
    WrongCode,
)
from onmt_lattice.bitstream.coder import Coder, Reader
from onmt_lattice.bitstream.container import unpack
from onmt_lattice.codes import make_code
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import make_lattice
from onmt_lattice.noise import StreamNoise

NAMES = [
    *("Z", "A2", "A3", "A3*", "D4", "D4*", "E8", "BW16", "Leech", "E8^2"),
    *("conv16-96", "conv64-96", "conv9-96", "conv25-96"),
]
CODES = [*((name, "discrete_gaussian") for name in NAMES), ("Z", "convolved_gaussian")]
every_code = pytest.mark.parametrize("name, code", CODES)
KEY = DitherKey(3, tuple(range(10, 50)))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


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
@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 2.0, 30.0, 1000.0, None])
def test_points_come_back_at_their_price(name: str, code: str, scale: float | None) -> None:
    codec = codec_on(name, code, None if scale is None else math.log(scale))
    points = drawn(codec, KEY)
    data = codec.encode(points, KEY)
    torch.testing.assert_close(codec.decode(data, KEY), points, rtol=0, atol=0)
    ideal = float(ideal_bits(codec, points, KEY).sum())
    coded = 8 * len(unpack(data).payload)
    assert ideal * 0.9999 - 8 < coded <= ideal * 1.005 + 16
    assert codec.bits(points, KEY) == pytest.approx(ideal, rel=1e-3, abs=0.5)


@every_code
def test_each_point_has_its_own_price(name: str, code: str) -> None:
    codec = codec_on(name, code, 0.0)
    one = DitherKey(3, (7,))
    for _ in range(3):
        points = drawn(codec, one)
        ideal = float(ideal_bits(codec, points, one).sum())
        assert codec.bits(points, one) == pytest.approx(ideal, rel=1e-3, abs=0.02)
        one = DitherKey(3, (one.indices[0] + 1,))


@every_code
@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_outliers_cost_bits_and_nothing_else(name: str, code: str, scale: float) -> None:
    codec = codec_on(name, code, math.log(scale))
    lattice = codec.code.lattice
    x = codec.dither(KEY)
    x += torch.randn(x.shape, generator=generator(), dtype=torch.float64) * scale
    x[::3] += 10.0 ** torch.randint(1, 12, x[::3].shape, generator=generator())
    x[1, 0] = -1e11
    points = lattice.nearest_point(x)
    data = codec.encode(points, KEY)
    torch.testing.assert_close(codec.decode(data, KEY), points, rtol=1e-15, atol=1e-9)
    assert 8 * len(data) < codec.bits(points, KEY) + 200


def test_a_sentence_may_be_empty_of_others_and_a_text_of_sentences() -> None:
    codec, none = codec_on("E8", "discrete_gaussian", 0.0), DitherKey(0, ())
    points = torch.zeros(0, 12, 8, dtype=torch.float64)
    assert codec.decode(codec.encode(points, none), none).shape == (0, 12, 8)


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


def test_altered_streams_are_refused() -> None:
    codec = codec_on("E8", "discrete_gaussian", None)
    one, other = DitherKey(3, (1,)), DitherKey(3, (2,))
    data, spliced = (codec.encode(drawn(codec, key), key) for key in (one, other))
    rng = np.random.default_rng(0)
    for _ in range(2000):
        changed = bytearray(data)
        changed[rng.integers(8, len(data))] ^= 1 << rng.integers(8)
        at = rng.integers(1, len(data))
        for stream in (bytes(changed), data[:at], data[:at] + spliced[at:], data + data[:at]):
            if stream not in (data, spliced):
                with pytest.raises(BitstreamError):
                    codec.decode(stream, one)


def test_symbols_that_no_encoder_wrote_end_in_the_exception_or_in_points() -> None:
    """A checksum can be made to agree: what decodes then are points, or the right exception."""
    codec = codec_on("conv16-96", "discrete_gaussian", None)
    one = DitherKey(3, (1,))
    rng = np.random.default_rng(0)
    for size in (0, 4, 100, 400):
        for payload in (bytes(size), b"\xff" * size, rng.bytes(size)):
            try:
                found = codec._code(Reader(payload), codec._steps(one), None)
            except AlteredBitstream:
                continue
            assert found.shape == (1, 96)


CHILD = """
import sys, torch
from onmt_lattice.bitstream import DitherKey, LatticeCodec
from onmt_lattice.codes import make_code
from onmt_lattice.lattices import make_lattice
torch.set_num_threads(2)
for line in sys.stdin:
    name, data = line.split()
    lattice = make_lattice(name).with_second_moment(1.0)
    log_s = torch.zeros(96 // lattice.dim, lattice.dim)
    codec = LatticeCodec(make_code("discrete_gaussian", lattice), log_s)
    key = DitherKey(3, tuple(range(10, 50)))
    points = codec.decode(bytes.fromhex(data), key)
    print(codec.encode(points, key).hex())
"""


def test_another_process_with_other_threads_reads_and_writes_the_same() -> None:
    streams = []
    for name in ("Z", "A2", "Leech", "conv64-96"):
        codec = codec_on(name, "discrete_gaussian", 0.0)
        streams.append(f"{name} {codec.encode(drawn(codec, KEY), KEY).hex()}")
    environment = {"OMP_NUM_THREADS": "2", "MKL_CBWR": "COMPATIBLE", "NUMBA_NUM_THREADS": "1"}
    environment |= {"ATEN_CPU_CAPABILITY": "default", "NUMBA_CPU_NAME": "generic"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        input="\n".join(streams),
        env=environment | {"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.split() == [stream.split()[1] for stream in streams]


GOLDEN = {
    ("Z", "convolved_gaussian"): "a197741aa6c7b54e",
    ("Z", "discrete_gaussian"): "91a6fa82a5ec5eb7",
    ("A3*", "discrete_gaussian"): "d924ee9bc89469c0",
    ("Leech", "discrete_gaussian"): "ab215f47b1c8cd81",
    ("conv9-96", "discrete_gaussian"): "eb623ff61f6e5f77",
}


@pytest.mark.parametrize("name, code", GOLDEN)
def test_streams_are_those_of_the_first_version(name: str, code: str) -> None:
    """All of what is coded is computed from integers: the same on any machine."""
    lattice = make_lattice(name).with_second_moment(1.0)
    shape = (96 // lattice.dim, lattice.dim)
    codec = LatticeCodec(make_code(code, lattice), torch.arange(96).view(shape) % 23 / 4 - 2.1)
    coordinates = torch.arange(len(KEY.indices) * 96).view(-1, *shape).square() % 7 - 3
    data = codec.encode(lattice.point(coordinates), KEY)
    assert hashlib.sha256(data).hexdigest()[:16] == GOLDEN[name, code]
