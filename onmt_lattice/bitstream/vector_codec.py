"""Vectors of any origin to bytes and back, at a given rate, error or tolerance.

An orthogonal transform takes the vectors to uncorrelated directions. A lattice quantizes them; its
dither has the variances that :mod:`~.vector_fitting` computes. An entropy coder writes the points.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from onmt_lattice.bitstream.dither import DitherKey
from onmt_lattice.bitstream.file import FileReader, FileWriter, Header, Mode, Section
from onmt_lattice.bitstream.lattice_codec import LatticeCodec
from onmt_lattice.bitstream.varint import pack_number
from onmt_lattice.bitstream.vector_fitting import (
    BITS_TOLERANCE,
    BLOCK_BITS,
    MAX_CODED_ROWS,
    MIN_ROWS,
    SEARCH_TOLERANCE,
    Fitting,
    Floats,
    blocks_of,
    rate_distortion_bits,
    require_rows,
)
from onmt_lattice.bottlenecks.channel import LatticeChannel
from onmt_lattice.config import SEED, check_ranges
from onmt_lattice.errors import (
    DamagedBitstream,
    NotABitstream,
    UserError,
    WrongCode,
    error_prefix,
)
from onmt_lattice.files import read_bytes, whole_file
from onmt_lattice.lattices import make_lattice
from onmt_lattice.noise import StreamNoise
from onmt_lattice.tensor_file import pack, unpack

CORRECTIONS = 5
MAX_DEVIATION = 2.0**40  # standard deviations of the noise; the coder takes points to 2⁵⁰
FORMAT = "onmt_lattice vectors 1"
EXPECTED = "expected a file that 'onmt_lattice pack -codec' or VectorCodec.save has written"


@dataclass(frozen=True)
class VectorCosts:
    """Bits and error of some vectors.

    Attributes:
        rows, width: number of vectors, and of numbers in each.
        expected_bits: mean ideal length of a vector, −log₂ P.
        coded_bits: bits of a file of them, without the codec, per vector.
        mse: mean squared error per number.
        gaussian_bits: rate-distortion function, at that error, of a Gaussian source with the
            covariance of the vectors that the codec was fitted to; bits per vector.
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

    Its files decode to the same points on any machine, and to vectors whose last digits may differ
    between machines.

    Args:
        settings: ``lattice`` and ``code``, names.
        tensors: ``mean`` ``(d,)``, ``encode`` ``(d, k)``, ``decode`` ``(k, d)`` and ``variances``
            ``(d,)`` float64, and ``channel.…``, the state of a :class:`LatticeChannel` of k.

    Raises:
        UserError: if ``settings`` and ``tensors`` do not fit each other.
    """

    def __init__(self, settings: dict[str, str], tensors: dict[str, Tensor]) -> None:
        self.settings, self.tensors = settings, tensors
        invalid = KeyError, ValueError, RuntimeError, AssertionError
        with error_prefix("a codec whose parts do not fit each other", invalid):
            self._mean, self._encode, self._decode, self._variances = (
                tensors[name].numpy() for name in ("mean", "encode", "decode", "variances")
            )
            self.width, sent = self._encode.shape
            lattice = make_lattice(settings["lattice"])
            self._channel = LatticeChannel(sent, lattice, settings["code"]).double().eval()
            state = {k.partition(".")[2]: v for k, v in tensors.items() if k.startswith("channel.")}
            self._channel.load_state_dict(state)
            shapes = self._decode.shape, self._mean.shape
            assert shapes == ((sent, self.width), (self.width,)), f"shapes {shapes}"
        self._channel.requires_grad_(False)
        self._codec = LatticeCodec(self._channel.code, self._channel.block_log_scale)
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
        progress: bool = False,
    ) -> VectorCodec:
        """Return a codec for vectors like ``x``, by exactly one of ``bits``, ``mse``, ``noise``.

        Args:
            x: ``(N, d)`` floats, memory-mapped or not.
            lattice: name of the lattice.
            bits: mean bits per vector of a file of ``x``, within 1 %.
            mse: mean squared error per number.
            noise: standard deviation, a number or ``(d,)``, of the errors, which are only added to
                the vectors, not scaled.
            decorrelate: take the vectors to uncorrelated directions first.
            seed: that of the choice of rows the prior is fitted to, and of their dither.
            progress: show how much of ``x`` has been read.

        Raises:
            UserError: if the vectors or the target are invalid, or the target cannot be reached.
        """
        options = {"bits": bits, "mse": mse, "noise": noise}
        targets = {name: value for name, value in options.items() if value is not None}
        if len(targets) != 1:
            raise UserError(
                f"{' and '.join(targets) or 'nothing'} given: expected one of bits, mse, noise"
            )
        rows = require_rows(x)
        if len(rows) < (minimum := max(MIN_ROWS, 2 * rows.shape[1] * decorrelate)):
            raise UserError(
                f"{len(rows)} vectors: expected at least {minimum} to fit to"
                + (", or no decorrelation" if minimum > MIN_ROWS else "")
            )
        ((name, value),) = targets.items()
        shapes = [(), rows.shape[1:]] if name == "noise" else [()]
        try:
            target = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            target = np.array(np.nan)
        if target.shape not in shapes or not (np.isfinite(target) & (target > 0)).all():
            expected = " or ".join("a number" if not s else f"{s[0]} of them" for s in shapes)
            raise UserError(f"{name} {value!r}: expected {expected}, above 0")
        check_ranges({"seed": seed}, {"seed": SEED})
        fitting = Fitting(rows, lattice, decorrelate, seed, progress)
        if name == "noise":
            return cls(*fitting.additive(np.broadcast_to(target, rows.shape[1:])))
        if name == "mse":
            return cls(*fitting.for_error(float(target)))
        return cls._fit_bits(float(target), fitting)

    @classmethod
    def _fit_bits(cls, bits: float, fitting: Fitting) -> VectorCodec:
        """Return the codec whose files have ``bits`` per vector.

        The expected bits of a codec are corrected by those of a file. A file also has a header, and
        vectors that are far from Gaussian take fewer bits than the prior expects.
        """
        rows, expected, nearest = fitting.subsample(MAX_CODED_ROWS), bits, None
        for _ in range(CORRECTIONS):
            codec = cls(*fitting.for_bits(expected))
            coded = 8 * len(codec.compress(rows)) / len(rows)
            if nearest is None or abs(coded - bits) < abs(nearest[0] - bits):
                nearest = coded, codec
            if abs(coded - bits) <= SEARCH_TOLERANCE * bits:
                break
            expected = max(expected + bits - coded, expected / 4)
        assert nearest is not None
        if abs(nearest[0] - bits) > BITS_TOLERANCE * bits:
            raise UserError(
                f"bits {bits:g}: {nearest[0]:.3f} per vector is the nearest that a file of these "
                f"{len(rows)} comes to; expected more"
            )
        return nearest[1]

    # ---- coding ---------------------------------------------------------------------------------

    def compress(
        self, x: npt.ArrayLike, seed: int = 0, *, embed: bool = False, progress: bool = False
    ) -> bytes:
        """Return a file of ``x`` ``(N, d)``, which with ``embed`` contains this codec.

        Raises:
            UserError: if ``x`` are not vectors of this width.
        """
        rows = require_rows(x, self.width)
        header = Header(
            self.fingerprint, Mode.VECTORS, BLOCK_BITS, seed, len(rows), rows.size, 4 * rows.size
        )
        writer = FileWriter(header)
        for number, block in enumerate(blocks_of(rows, "packing" if progress else "")):
            key = DitherKey(seed, tuple(header.span(number)))
            sections = {Section.POINTS: self._codec.write(self._points(block, key), key)}
            if embed and number == 0:
                sections[Section.CODEC] = self.to_bytes()
            writer.add(sections)
        return writer.data()

    def decompress(self, data: bytes) -> npt.NDArray[np.float32]:
        """Return the vectors ``(N, d)`` of a file that this codec wrote.

        Raises:
            BitstreamError: if ``data`` is not a complete and unaltered file of this codec.
        """
        return np.concatenate(list(self.blocks(data)))

    def blocks(self, data: bytes) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the vectors of a file, block by block.

        Raises:
            BitstreamError: as :meth:`decompress`.
        """
        file = vector_file(data)
        if file.header.fingerprint != self.fingerprint:
            raise WrongCode(
                f"a file of codec {file.header.fingerprint.hex()}, this is "
                f"{self.fingerprint.hex()}: expected the codec that packed it"
            )
        for number in range(file.header.blocks):
            key = DitherKey(file.header.seed, tuple(file.header.span(number)))
            payload = file.block(number).get(Section.POINTS)
            if payload is None:
                raise DamagedBitstream(f"block {number + 1} has no points: expected some")
            yield self._vectors(self._codec.read(payload, key), key)

    def costs(
        self, x: npt.ArrayLike, seed: int = 0, data: bytes | None = None, *, progress: bool = False
    ) -> VectorCosts:
        """Return bits and error of ``x`` ``(N, d)``.

        Args:
            x: the vectors.
            seed: that of the dither.
            data: the file of :meth:`compress` with that seed, if there is one already.
            progress: show how much of ``x`` has been read.
        """
        rows, nats, square, begin = require_rows(x, self.width), 0.0, 0.0, 0
        for block in blocks_of(rows, "measuring" if progress else ""):
            key = DitherKey(seed, tuple(range(begin, begin + len(block))))
            begin += len(block)
            points = self._points(block, key)
            y = points - self._codec.dither(key)
            nats += float(self._channel.rate_nats(y, StreamNoise()).sum())
            square += float(np.square(self._vectors(points, key) - block).sum())
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
        x = self._channel.to_blocks(torch.from_numpy((rows - self._mean) @ self._encode))
        if (far := x.abs().flatten(1).amax(1) > MAX_DEVIATION).any():
            row = key.indices[int(far.nonzero()[0])]
            raise UserError(f"vector {row}: too large; expected vectors like those fitted to")
        return self._channel.lattice.nearest_point(x + self._codec.dither(key))

    def _vectors(self, points: Tensor, key: DitherKey) -> npt.NDArray[np.float32]:
        value = self._channel.value(points - self._codec.dither(key)).numpy()
        return (value @ self._decode + self._mean).astype(np.float32)

    # ---- files of the codec ---------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Return this codec as the bytes of a file; see :mod:`~onmt_lattice.tensor_file`."""
        return pack(self.tensors, {"format": FORMAT, **self.settings})

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the codec") -> VectorCodec:
        """Return the codec that :meth:`to_bytes` wrote; errors call it ``name``.

        Raises:
            UserError: if ``data`` is not a codec, or damaged.
        """
        tensors, settings = unpack(data, name, EXPECTED)
        if settings.pop("format", None) != FORMAT:
            raise UserError(f"{name}: no codec of vectors; {EXPECTED}")
        return cls(settings, tensors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write this codec to ``path``, completely or not at all."""
        with whole_file(path) as part:
            part.write_bytes(self.to_bytes())

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


def vector_file(data: bytes) -> FileReader:
    """Return the file of vectors ``data``.

    Raises:
        BitstreamError: if it is not one.
    """
    file = FileReader(data)
    if file.header.mode != Mode.VECTORS:
        raise NotABitstream("a file of text: expected one of vectors; 'decompress' reads it")
    return file


def _size(data: bytes) -> int:
    """Return the size in bytes of a file of vectors, without a codec in it."""
    codec = vector_file(data).block(0).get(Section.CODEC)
    return len(data) - (0 if codec is None else 1 + len(pack_number(len(codec))) + len(codec))


def embedded_codec(data: bytes) -> VectorCodec | None:
    """Return the codec in a file of vectors, or None.

    Raises:
        BitstreamError: as :func:`vector_file`.
    """
    codec = vector_file(data).block(0).get(Section.CODEC)
    return None if codec is None else VectorCodec.from_bytes(codec)
