"""Vectors of any origin to bytes and back, at a rate, an error or a tolerance that is asked for.

An orthogonal transform takes the vectors to directions without correlation, a lattice whose dither
is the noise that :mod:`~.vector_fitting` chose quantizes them, and an entropy coder writes its
points.
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
from onmt_lattice.bitstream.file import FileWriter, Header, Mode, Section, TextFile
from onmt_lattice.bitstream.lattice_codec import LatticeCodec
from onmt_lattice.bitstream.varint import pack_number
from onmt_lattice.bitstream.vector_fitting import (
    CLOSE,
    ENOUGH,
    LEAST_ROWS,
    Fitting,
    Floats,
    blocks_of,
    checked,
    rate_distortion_bits,
)
from onmt_lattice.bottlenecks.channel import LatticeChannel
from onmt_lattice.config import SEED, check_ranges
from onmt_lattice.errors import DamagedBitstream, NotABitstream, UserError, WrongCode
from onmt_lattice.files import read_bytes, whole_file
from onmt_lattice.lattices import make_lattice
from onmt_lattice.noise import StreamNoise
from onmt_lattice.tensor_file import pack, unpack

BLOCK_BITS = 12  # rows of a block, those that are in memory
CORRECTIONS = 5
FARTHEST = 2.0**40  # of the noise's standard deviation; the coder takes points to 2⁵⁰
FORMAT = "onmt_lattice vectors 1"
EXPECTED = "expected a file that 'onmt_lattice pack -codec' or VectorCodec.save has written"


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
        progress: bool = False,
    ) -> VectorCodec:
        """Return a codec for vectors like ``x``, by exactly one of ``bits``, ``mse``, ``noise``.

        Args:
            x: ``(N, d)`` floats, memory-mapped or not.
            lattice: name of the lattice.
            bits: mean bits per vector of a file of ``x``, met within 1 %.
            mse: mean squared error per number.
            noise: standard deviation, a number or ``(d,)``, of the error that the vectors' user
                tolerates: it is added to them, and nothing else is.
            decorrelate: take the vectors to directions without correlation first.
            seed: of which rows the prior is fitted to, and of the dither of that.
            progress: show how much of ``x`` has been read.

        Raises:
            UserError: if the vectors or what is asked for cannot be.
        """
        asked = {"bits": bits, "mse": mse, "noise": noise}
        given = {name: value for name, value in asked.items() if value is not None}
        if len(given) != 1:
            raise UserError(
                f"{' and '.join(given) or 'nothing'} given: expected one of bits, mse, noise"
            )
        rows = checked(x)
        if len(rows) < (least := max(LEAST_ROWS, 2 * rows.shape[1] * decorrelate)):
            raise UserError(
                f"{len(rows)} vectors: expected at least {least} to fit to"
                + (", or no decorrelation" if least > LEAST_ROWS else "")
            )
        ((name, value),) = given.items()
        shapes = [(), rows.shape[1:]] if name == "noise" else [()]
        try:
            tolerated = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            tolerated = np.array(np.nan)
        if tolerated.shape not in shapes or not (np.isfinite(tolerated) & (tolerated > 0)).all():
            expected = " or ".join("a number" if not s else f"{s[0]} of them" for s in shapes)
            raise UserError(f"{name} {value!r}: expected {expected}, above 0")
        check_ranges({"seed": seed}, {"seed": SEED})
        fitting = Fitting(rows, lattice, decorrelate, seed, progress)
        if name == "noise":
            return cls(*fitting.additive(np.broadcast_to(tolerated, rows.shape[1:])))
        if name == "mse":
            return cls(*fitting.for_error(float(tolerated)))
        return cls._coding_in(float(tolerated), fitting)

    @classmethod
    def _coding_in(cls, bits: float, fitting: Fitting) -> VectorCodec:
        """Return the codec whose files have ``bits`` per vector.

        What a search expects is corrected by what the vectors take: all that a file has, and less
        than the prior says of those that are far from Gaussian.
        """
        rows, asked, nearest = fitting.to_code(), bits, None
        for _ in range(CORRECTIONS):
            codec = cls(*fitting.for_bits(asked))
            coded = 8 * len(codec.compress(rows)) / len(rows)
            if nearest is None or abs(coded - bits) < abs(nearest[0] - bits):
                nearest = coded, codec
            if abs(coded - bits) <= CLOSE * bits:
                break
            asked = max(asked + bits - coded, asked / 4)
        assert nearest is not None
        if abs(nearest[0] - bits) > ENOUGH * bits:
            raise UserError(
                f"bits {bits:g}: {nearest[0]:.3f} per vector is the nearest that a file of these "
                f"{len(rows)} comes to; expected more"
            )
        return nearest[1]

    # ---- coding ---------------------------------------------------------------------------------

    def compress(
        self, x: npt.ArrayLike, seed: int = 0, *, embed: bool = False, progress: bool = False
    ) -> bytes:
        """Return the bytes of ``x`` ``(N, d)``; with ``embed`` those of this codec among them.

        Raises:
            UserError: if they are no vectors of this width.
        """
        rows = checked(x, self.width)
        header = Header(
            self.fingerprint, Mode.VECTORS, BLOCK_BITS, seed, len(rows), rows.size, 4 * rows.size
        )
        writer = FileWriter(header)
        for number, part in enumerate(blocks_of(rows, "packing" if progress else "")):
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

    def costs(
        self, x: npt.ArrayLike, seed: int = 0, data: bytes | None = None, *, progress: bool = False
    ) -> VectorCosts:
        """Return what ``x`` ``(N, d)`` costs, and how far it comes back from itself.

        Args:
            x: the vectors.
            seed: of the dither.
            data: what :meth:`compress` made of them with that seed, if it did already.
            progress: show how much of ``x`` has been read.
        """
        rows, nats, square = checked(x, self.width), 0.0, 0.0
        begin = 0
        for part in blocks_of(rows, "measuring" if progress else ""):
            key = DitherKey(seed, tuple(range(begin, begin := begin + len(part))))
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
        sent = self._channel.placed(torch.from_numpy((rows - self._mean) @ self._encode))
        if (far := sent.abs().flatten(1).amax(1) > FARTHEST).any():
            row = key.indices[int(far.nonzero()[0])]
            raise UserError(f"vector {row}: too large; expected vectors like those fitted to")
        return self._channel.lattice.nearest_point(sent + self._codec.dither(key))

    def _vectors(self, points: Tensor, key: DitherKey) -> npt.NDArray[np.float32]:
        value = self._channel.value(points - self._codec.dither(key)).numpy()
        return (value @ self._decode + self._mean).astype(np.float32)

    # ---- files of the codec ---------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Return this codec as the bytes of a file; see :mod:`~onmt_lattice.tensor_file`."""
        return pack(self.tensors, {"format": FORMAT, **self.settings})

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the codec") -> VectorCodec:
        """Return the codec that :meth:`to_bytes` wrote, which errors call ``name``.

        Raises:
            UserError: if it is none, or damaged.
        """
        tensors, settings = unpack(data, name, EXPECTED)
        if settings.pop("format", None) != FORMAT:
            raise UserError(f"{name}: no codec of vectors; {EXPECTED}")
        return cls(settings, tensors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write this codec to ``path``, whole or not at all."""
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
