"""Vectors of any origin to bytes and back, at a rate, an error or a tolerance that is asked for.

Reverse water-filling (Cover & Thomas, Elements of Information Theory, section 10.3.3), its test
channel made of a dithered lattice: an orthogonal transform takes the vectors to directions without
correlation; at water level θ one of variance v > θ gets noise of variance θv/(v − θ) and at the
decoder the factor 1 − θ/v (Wiener's), so that its error is θ; the others are not sent.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from tqdm import tqdm

from onmt_lattice.bitstream.dither import DitherKey
from onmt_lattice.bitstream.errors import DamagedBitstream, NotABitstream, WrongCode
from onmt_lattice.bitstream.file import FileWriter, Header, Mode, Section, TextFile
from onmt_lattice.bitstream.lattice_codec import LatticeCodec
from onmt_lattice.bitstream.varint import pack_number
from onmt_lattice.bottlenecks.channel import LatticeChannel
from onmt_lattice.bottlenecks.gaussian_to_lattice import quantize_gaussian
from onmt_lattice.bottlenecks.lattice import AUTO, code_on
from onmt_lattice.errors import UserError
from onmt_lattice.files import read_bytes, whole_file
from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.registry import takes_any_dim
from onmt_lattice.noise import StreamNoise

Floats = npt.NDArray[np.float64]

BLOCK_BITS = 12
AT_ONCE = 2**BLOCK_BITS  # rows of a block
FITTED = 2000  # rows at most that the code's prior is fitted to
LEAST_ROWS = 100
CLOSE, ENOUGH = 0.003, 0.01  # of the bits asked for
SEARCHES = 8
PADDED = 64  # numbers at most that a convolutional lattice has more than are sent
SMALLEST = 1e-12  # share of the largest variance below which a direction has none
FORMAT = "onmt_lattice vectors 1"
KEY = "onmt_lattice"  # of the metadata

_Parts = tuple[dict[str, str], dict[str, Tensor]]  # of a codec


@dataclass(frozen=True)
class VectorCosts:
    """What some vectors cost.

    Attributes:
        rows, width: how many vectors there are, and numbers in each.
        expected_bits: mean ideal length of a vector, −log₂ P.
        coded_bits: mean over vectors of the bits of a file of them, without the codec.
        mse: mean squared error per number.
        gaussian_bits: rate-distortion function at that error of a Gaussian source whose
            covariance is that of the vectors the codec was fitted to, bits per vector.
    """

    rows: int
    width: int
    expected_bits: float
    coded_bits: float
    mse: float
    gaussian_bits: float

    def describe(self) -> str:
        """Return the costs for a terminal."""
        gap = (self.coded_bits - self.gaussian_bits) / self.width
        return (
            f"{self.rows} vectors of {self.width} numbers: {self.coded_bits:.2f} bits per vector "
            f"({self.expected_bits:.2f} expected), mean squared error {self.mse:.6g} per number\n"
            f"a Gaussian source of that covariance takes {self.gaussian_bits:.2f} bits at that "
            f"error: {gap:+.4f} bits per number"
        )


class VectorCodec:
    """Codes vectors of ``width`` numbers by the points of a lattice; see :meth:`fit`.

    What it writes decodes to the same points on any machine, and to vectors whose last digits are
    another machine's.

    Args:
        settings: ``lattice`` and ``code``, names.
        tensors: ``mean`` ``(d,)``, ``encode`` ``(d, k)``, ``decode`` ``(k, d)`` and ``variances``
            ``(d,)`` float64, and ``channel.…``, the state of a :class:`LatticeChannel` of k.

    Raises:
        UserError: if they do not fit each other.
    """

    def __init__(self, settings: dict[str, str], tensors: dict[str, Tensor]) -> None:
        self.settings, self.tensors = settings, tensors
        try:
            self._mean, self._encode, self._decode, self._variances = (
                tensors[name].numpy() for name in ("mean", "encode", "decode", "variances")
            )
            self.width, sent = self._encode.shape
            lattice = make_lattice(settings["lattice"])
            self._channel = LatticeChannel(sent, lattice, settings["code"]).double().eval()
            state = {k.partition(".")[2]: v for k, v in tensors.items() if k.startswith("channel.")}
            self._channel.load_state_dict(state)
            assert self._decode.shape == (sent, self.width) and self._mean.shape == (self.width,)
        except (KeyError, ValueError, RuntimeError, AssertionError) as error:
            raise UserError(f"a codec whose parts do not fit each other: {error}") from error
        self._channel.requires_grad_(False)
        self._codec = LatticeCodec(self._channel.code, self._channel.placed_log_scale)
        self.fingerprint = _fingerprint(settings, tensors)

    # ---- fitting --------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        x: npt.ArrayLike,
        lattice: str = "conv64",
        *,
        bits: float | None = None,
        mse: float | None = None,
        noise: npt.ArrayLike | None = None,
        decorrelate: bool = True,
        seed: int = 0,
    ) -> VectorCodec:
        """Return a codec for vectors like ``x``, by exactly one of ``bits``, ``mse``, ``noise``.

        Args:
            x: ``(N, d)`` floats, memory-mapped or not.
            lattice: name of the lattice.
            bits: mean bits per vector, met within 1 % on ``x``.
            mse: mean squared error per number.
            noise: standard deviation, a number or ``(d,)``, of the error that the vectors' user
                tolerates: it is added to them, and nothing else is.
            decorrelate: take the vectors to directions without correlation first.
            seed: of which rows the prior is fitted to, and of the dither of that.

        Raises:
            UserError: if the vectors or what is asked for cannot be.
        """
        asked = {"bits": bits, "mse": mse, "noise": noise}
        given = {name: value for name, value in asked.items() if value is not None}
        if len(given) != 1:
            raise UserError(
                f"{' and '.join(given) or 'nothing'} given: expected one of bits, mse, noise"
            )
        rows = _checked(x)
        if len(rows) < (least := max(LEAST_ROWS, 2 * rows.shape[1] * decorrelate)):
            raise UserError(
                f"{len(rows)} vectors: expected at least {least} to fit to"
                + (", or no decorrelation" if least > LEAST_ROWS else "")
            )
        fitting = _Fitting(rows, lattice, decorrelate, seed)
        ((name, value),) = given.items()
        tolerated = np.asarray(value, dtype=np.float64)
        shapes = [(), rows.shape[1:]] if name == "noise" else [()]
        if tolerated.shape not in shapes or not (np.isfinite(tolerated) & (tolerated > 0)).all():
            expected = " or ".join("a number" if not s else f"{s[0]} of them" for s in shapes)
            raise UserError(f"{name} {value!r}: expected {expected}, above 0")
        if name == "noise":
            return cls(*fitting.additive(np.broadcast_to(tolerated, rows.shape[1:])))
        search = fitting.for_bits if name == "bits" else fitting.for_error
        return cls(*search(float(tolerated)))

    # ---- coding ---------------------------------------------------------------------------------

    def compress(
        self, x: npt.ArrayLike, seed: int = 0, *, embed: bool = False, progress: bool = False
    ) -> bytes:
        """Return the bytes of ``x`` ``(N, d)``; with ``embed`` those of this codec among them.

        Raises:
            UserError: if they are no vectors of this width.
        """
        rows = _checked(x, self.width)
        header = Header(
            self.fingerprint, Mode.VECTORS, BLOCK_BITS, seed, len(rows), rows.size, 4 * rows.size
        )
        writer = FileWriter(header)
        blocks = tqdm(_parts(rows), "packing", header.blocks, disable=not progress)
        for number, part in enumerate(blocks):
            key = DitherKey(seed, tuple(header.span(number)))
            sections = {Section.POINTS: self._codec.write(self._points(part, key), key)}
            if embed and number == 0:
                sections[Section.CODEC] = self.to_bytes()
            writer.add(sections)
        return writer.data()

    def decompress(self, data: bytes) -> npt.NDArray[np.float32]:
        """Return the vectors ``(N, d)`` of a file that this codec wrote.

        Raises:
            BitstreamError: if ``data`` is not, in whole and unaltered, such a file.
        """
        return np.concatenate(list(self.parts(data)))

    def parts(self, data: bytes) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the vectors of a file, a block at a time.

        Raises:
            BitstreamError: as :meth:`decompress`.
        """
        file = vector_file(data)
        if file.header.fingerprint != self.fingerprint:
            raise WrongCode(
                f"a file of codec {file.header.fingerprint.hex()}, this is {self.fingerprint.hex()}"
            )
        for number in range(file.header.blocks):
            key = DitherKey(file.header.seed, tuple(file.header.span(number)))
            payload = file.block(number).get(Section.POINTS)
            if payload is None:
                raise DamagedBitstream(f"block {number + 1} has no points: expected some")
            yield self._vectors(self._codec.read(payload, key), key)

    def costs(self, x: npt.ArrayLike, seed: int = 0, data: bytes | None = None) -> VectorCosts:
        """Return what ``x`` ``(N, d)`` costs, and how far it comes back from itself.

        Args:
            x: the vectors.
            seed: of the dither.
            data: what :meth:`compress` made of them with that seed, if it did already.
        """
        rows, nats, square = _checked(x, self.width), 0.0, 0.0
        for begin, part in zip(range(0, len(rows), AT_ONCE), _parts(rows), strict=True):
            key = DitherKey(seed, tuple(range(begin, begin + len(part))))
            points = self._points(part, key)
            sent = points - self._codec.dither(key)
            nats += float(self._channel.rate_nats(sent, StreamNoise()).sum())
            square += float(np.square(self._vectors(points, key) - part).sum())
        mse = square / rows.size
        return VectorCosts(
            rows=len(rows),
            width=self.width,
            expected_bits=nats / math.log(2) / len(rows),
            coded_bits=8 * _size(self.compress(rows, seed) if data is None else data) / len(rows),
            mse=mse,
            gaussian_bits=rate_distortion_bits(self._variances, mse),
        )

    def _points(self, rows: Floats, key: DitherKey) -> Tensor:
        sent = torch.from_numpy((rows - self._mean) @ self._encode)
        return self._channel.lattice.nearest_point(
            self._channel.placed(sent) + self._codec.dither(key)
        )

    def _vectors(self, points: Tensor, key: DitherKey) -> npt.NDArray[np.float32]:
        value = self._channel.value(points - self._codec.dither(key)).numpy()
        return (value @ self._decode + self._mean).astype(np.float32)

    # ---- files of the codec ---------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Return this codec as a ``safetensors`` file."""
        told = {**self.settings, "format": FORMAT, "fingerprint": self.fingerprint.hex()}
        return safetensors.torch.save(self.tensors, {KEY: json.dumps(told, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the codec") -> VectorCodec:
        """Return the codec that :meth:`to_bytes` wrote, which errors call ``name``.

        Raises:
            UserError: if it is none, or damaged.
        """
        try:
            tensors = safetensors.torch.load(data)
            head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            told = json.loads(head["__metadata__"][KEY])
            made, fingerprint = told.pop("format") == FORMAT, told.pop("fingerprint")
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{name}: no codec of vectors in it ({error})") from error
        if not made:
            raise UserError(f"{name}: expected the format {FORMAT!r}")
        if _fingerprint(told, tensors).hex() != fingerprint:
            raise UserError(f"{name}: damaged, its fingerprint is not {fingerprint}")
        return cls(told, tensors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write this codec to ``path``, whole or not at all."""
        with whole_file(path) as part:
            Path(part).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VectorCodec:
        """Return the codec that :meth:`save` wrote to ``path``.

        Raises:
            UserError: as :meth:`from_bytes`.
        """
        return cls.from_bytes(read_bytes(os.fspath(path), "codec"), f"codec {path}")


def _fingerprint(settings: dict[str, str], tensors: dict[str, Tensor]) -> bytes:
    digest = zlib.crc32(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(tensors):
        digest = zlib.crc32(name.encode() + tensors[name].numpy().tobytes(), digest)
    return digest.to_bytes(4, "little")


def vector_file(data: bytes) -> TextFile:
    """Return the file that ``data`` is, if it is one of vectors.

    Raises:
        BitstreamError: if not.
    """
    file = TextFile(data)
    if file.header.mode != Mode.VECTORS:
        raise NotABitstream("a file of text: expected one of vectors; 'decompress' reads it")
    return file


def _size(data: bytes) -> int:
    """Return the bytes of a file of vectors, without those of a codec in it."""
    held = vector_file(data).block(0).get(Section.CODEC)
    return len(data) - (0 if held is None else 1 + len(pack_number(len(held))) + len(held))


def embedded_codec(data: bytes) -> VectorCodec | None:
    """Return the codec within a file of vectors, None where it has none.

    Raises:
        BitstreamError: as :func:`vector_file`.
    """
    held = vector_file(data).block(0).get(Section.CODEC)
    return None if held is None else VectorCodec.from_bytes(held)


# ---- water levels -------------------------------------------------------------------------------


def water_level(variances: Floats, mse: float) -> float:
    """Return θ with mean min(v, θ) = ``mse``, which is below the mean of the ``variances``."""
    falling = np.sort(variances)[::-1]
    below = falling.sum() - np.cumsum(falling)  # what the directions after each have in all
    levels = (mse * len(falling) - below) / np.arange(1, len(falling) + 1)
    return float(levels[np.flatnonzero(levels <= falling)[-1]])


def rate_distortion_bits(variances: Floats, mse: float) -> float:
    """Return R(D) of a Gaussian source at D = ``mse`` per number, bits per vector."""
    if mse >= variances.mean():
        return 0.0
    return float(0.5 * np.log2(np.maximum(variances / water_level(variances, mse), 1)).sum())


class _Fitting:
    """Vectors to fit to: their mean and directions, and the codecs for what may be asked for."""

    def __init__(self, rows: Floats, lattice: str, decorrelate: bool, seed: int) -> None:
        self.rows, self.lattice, self.seed = rows, lattice, seed
        self.decorrelate = decorrelate
        self.mean = sum(part.sum(0) for part in _parts(rows)) / len(rows)
        centred = (part - self.mean for part in _parts(rows))
        self.covariance = sum(part.T @ part for part in centred) / (len(rows) - 1)
        chosen = np.random.default_rng(seed).permutation(len(rows))[:FITTED]
        self.sample = np.stack([np.asarray(rows[i], np.float64) for i in np.sort(chosen)])
        self.variances, self.directions = self._directions(self.covariance)
        if not np.max(self.variances) > 0:
            raise UserError("vectors that are all the same: expected some variance to code")

    def additive(self, noise: Floats) -> _Parts:
        """Return the codec whose error is additive, of standard deviations ``noise`` ``(d,)``."""
        variances, directions = self._directions(self.covariance / np.outer(noise, noise))
        kept = variances > SMALLEST * np.max(variances)
        encode = directions[:, kept] / noise[:, None]
        decode = directions[:, kept].T * noise
        return self._codec(encode, decode, np.ones(kept.sum()))[0]

    def for_error(self, mse: float) -> _Parts:
        """Return the codec whose mean squared error per number is ``mse``."""
        if mse >= (most := self.variances.mean()):
            raise UserError(f"mse {mse}: expected less than {most:.6g}, their variance per number")
        return self._at_level(water_level(self.variances, mse))[0]

    def for_bits(self, bits: float) -> _Parts:
        """Return the codec whose mean is ``bits`` per vector."""
        top = math.log2(np.max(self.variances)) - 1e-3
        log_level = top - 2 * bits / len(self.variances)
        slope, nearest, steps = 0.0, None, list[tuple[float, float]]()
        for _ in range(SEARCHES):
            log_level = min(log_level, top)
            made, found, sent = self._at_level(2.0**log_level)
            if nearest is None or abs(found - bits) < abs(nearest[0] - bits):
                nearest = found, made
            if abs(found - bits) <= CLOSE * bits:
                break
            slope = -sent / 2  # bits for each doubling of the level
            if steps and (log_level - steps[-1][1]) * (found - steps[-1][0]) < 0:
                slope = min((found - steps[-1][0]) / (log_level - steps[-1][1]), slope / 4)
            steps.append((found, log_level))
            log_level += (bits - found) / slope
        assert nearest is not None
        if abs(nearest[0] - bits) > ENOUGH * bits:
            raise UserError(
                f"bits {bits}: {nearest[0]:.3f} is the nearest that these {len(self.rows)} vectors "
                f"come to; expected a bit per vector or more"
            )
        return nearest[1]

    def _at_level(self, level: float) -> tuple[_Parts, float, int]:
        """Return the codec at a water level, its bits per vector, and the directions sent."""
        kept = self.variances > level
        v, directions = self.variances[kept], self.directions[:, kept]
        decode = (1 - level / v)[:, None] * directions.T
        made, bits = self._codec(directions, decode, np.sqrt(level * v / (v - level)))
        return made, bits, int(kept.sum())

    def _codec(self, encode: Floats, decode: Floats, sigma: Floats) -> tuple[_Parts, float]:
        """Return the codec whose channel has noise ``sigma``, and its bits per vector."""
        means = torch.from_numpy((self.sample - self.mean) @ encode)
        lattice = _lattice_name(self.lattice, len(sigma))
        code = code_on(make_lattice(lattice), AUTO)
        fitted = quantize_gaussian(means, torch.from_numpy(sigma), lattice, code, self.seed)
        named = {"mean": self.mean, "encode": encode, "decode": decode, "variances": self.variances}
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in named.items()}
        state = {f"channel.{k}": v.detach() for k, v in fitted.channel.state_dict().items()}
        bits = (fitted.gaussian_nats + fitted.excess_nats) / math.log(2)
        return ({"lattice": lattice, "code": code}, {**tensors, **state}), bits

    def _directions(self, covariance: Floats) -> tuple[Floats, Floats]:
        if not self.decorrelate:
            return np.diag(covariance).copy(), np.eye(len(covariance))
        variances, directions = np.linalg.eigh(covariance)
        return np.maximum(variances, 0.0), directions


def _lattice_name(name: str, sent: int) -> str:
    """Return the lattice ``name`` or, of a family, its smallest of ``sent`` dimensions or more."""
    if not takes_any_dim(name):
        return name
    for n in range(sent, sent + PADDED):
        try:
            return make_lattice(name, n=n).name
        except UserError as error:
            last = error
    raise last


def _checked(x: npt.ArrayLike, width: int | None = None) -> Floats:
    """Return ``x`` if it is an array of rows of floats; numbers are checked as they are read."""
    rows = np.asanyarray(x)
    wanted = "(N, d)" if width is None else f"(N, {width})"
    if rows.ndim != 2 or 0 in rows.shape or (width is not None and rows.shape[1] != width):
        raise UserError(f"vectors of shape {rows.shape}: expected {wanted}")
    if rows.dtype.kind != "f" or rows.dtype.itemsize > 8:
        raise UserError(f"vectors of {rows.dtype}: expected float16, float32 or float64")
    return rows


def _parts(rows: Floats) -> Iterator[Floats]:
    """Yield ``rows``, a block at a time, as finite float64 numbers."""
    for begin in range(0, len(rows), AT_ONCE):
        part = np.asarray(rows[begin : begin + AT_ONCE], dtype=np.float64)
        if not (finite := np.isfinite(part).all(1)).all():
            row = begin + int(np.flatnonzero(~finite)[0])
            raise UserError(f"vector {row}: a number that is not finite; expected finite ones")
        yield part
