"""Fitting a codec of vectors: their covariance, a water level, and the prior of a lattice.

Reverse water-filling (Cover & Thomas, Elements of Information Theory, section 10.3.3): at water
level θ a direction of variance v > θ gets noise of variance θv/(v − θ) and, at the decoder, the
factor 1 − θ/v (Wiener's), so that its error is θ. Other directions are not sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from onmt_lattice.bottlenecks.gaussian_to_lattice import fit_gaussian, with_lattice_noise
from onmt_lattice.bottlenecks.lattice import AUTO, code_on
from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.registry import takes_any_dim

Floats = npt.NDArray[np.float64]

BLOCK_BITS = 12  # 2^12 rows of a block of a file, those in memory
MAX_FITTED_ROWS = 2000  # to which the code's prior is fitted
MAX_CODED_ROWS = 20_000  # coded to measure their bits
MIN_ROWS = 100
SEARCH_TOLERANCE, BITS_TOLERANCE = 0.003, 0.01  # relative, of bits per vector
SEARCH_STEPS = 20
MAX_PADDING = 64  # dimensions of a convolutional lattice beyond the numbers sent
MIN_VARIANCE_SHARE = 1e-12  # of the largest variance, below which a direction is dropped
MAX_BITS = 24  # per number: float32, the dtype of decoded vectors, has no more
MAX_FLOAT, MIN_VARIANCE = np.finfo(np.float32).max, float(np.finfo(np.float32).tiny) ** 2

TOO_FINE = (
    "less than float32 can show beside these vectors; "
    f"expected 2^-{MAX_BITS} of their standard deviation or more"
)

CodecState = tuple[dict[str, str], dict[str, Tensor]]  # settings and tensors of a codec


def water_level(variances: Floats, mse: float) -> float:
    """Return θ with mean min(v, θ) = ``mse``, if ``mse`` is less than the mean of ``variances``."""
    falling = np.sort(variances)[::-1]
    remaining = falling.sum() - np.cumsum(falling)  # total of the directions after each one
    levels = (mse * len(falling) - remaining) / np.arange(1, len(falling) + 1)
    return float(levels[np.flatnonzero(levels <= falling)[-1]])


def rate_distortion_bits(variances: Floats, mse: float) -> float:
    """Return R(D) of a Gaussian source at D = ``mse`` per number, bits per vector."""
    if mse >= variances.mean():
        return 0.0
    return float(0.5 * np.log2(np.maximum(variances / water_level(variances, mse), 1)).sum())


class Fitting:
    """Vectors, their mean and directions, and the codecs fitted to them."""

    def __init__(
        self, rows: Floats, lattice: str, decorrelate: bool, seed: int, progress: bool = False
    ) -> None:
        if not takes_any_dim(lattice):
            make_lattice(lattice)  # reports an unknown name before all vectors are read
        self.lattice, self.seed, self.decorrelate = lattice, seed, decorrelate
        origin = np.asarray(rows[0], np.float64)  # near the vectors, which avoids cancellation
        total, square = np.zeros(len(origin)), np.zeros((len(origin), len(origin)))
        for block in blocks_of(rows, "fitting" if progress else ""):
            total += (block - origin).sum(0)
            square += (block - origin).T @ (block - origin)
        count = len(rows)
        self.mean = origin + total / count
        self.covariance = (square - np.outer(total, total) / count) / (count - 1)
        self.rows = rows
        self.sample = self.subsample(MAX_FITTED_ROWS)
        self.variances, self.directions = self._directions(self.covariance)
        self.max_variance = float(np.max(self.variances))
        if not self.max_variance > MIN_VARIANCE:
            raise UserError("vectors that are all the same: expected some variance to code")

    def subsample(self, count: int) -> Floats:
        """Return at most ``count`` of the vectors, drawn at random, in order."""
        if len(self.rows) <= count:
            return np.asarray(self.rows, np.float64)
        indices = np.random.default_rng(self.seed).choice(len(self.rows), count, replace=False)
        return np.asarray(self.rows[np.sort(indices)], np.float64)

    def additive(self, noise: Floats) -> CodecState:
        """Return the codec with additive errors of standard deviations ``noise`` ``(d,)``."""
        if not ((noise > 1 / MAX_FLOAT) & (noise < MAX_FLOAT)).all():
            worst = noise[np.argmax(np.abs(np.log(noise)))]
            raise UserError(f"noise of {worst:.3g}: expected float32's range")
        variances, directions = self._directions(self.covariance / np.outer(noise, noise))
        if np.max(variances) > 4.0**MAX_BITS:
            raise UserError(f"noise of {np.min(noise):.3g}: {TOO_FINE}")
        sent = variances > MIN_VARIANCE_SHARE * np.max(variances)
        encode = directions[:, sent] / noise[:, None]
        decode = directions[:, sent].T * noise
        return self._codec(encode, decode, np.ones(sent.sum()))[0]

    def for_error(self, mse: float) -> CodecState:
        """Return the codec with a mean squared error of ``mse`` per number."""
        if mse >= (variance := self.variances.mean()):
            raise UserError(
                f"mse {mse}: expected less than {variance:.6g}, their variance per number"
            )
        level = water_level(self.variances, mse)
        if level < self.max_variance / 4.0**MAX_BITS:
            raise UserError(f"mse {mse}: {TOO_FINE}")
        return self._at_level(level)[0]

    def for_bits(self, bits: float) -> CodecState:
        """Return the codec with a mean of ``bits`` per vector."""
        high = math.log2(self.max_variance) - 1e-3  # a level of too few bits
        low = high - 2 * MAX_BITS
        log_level = high - 2 * bits / len(self.variances)
        nearest, previous = None, (math.nan, math.nan)
        for _ in range(SEARCH_STEPS):
            log_level = min(max(log_level, low), high)
            codec, expected, sent = self._at_level(2.0**log_level)
            if nearest is None or abs(expected - bits) < abs(nearest[0] - bits):
                nearest = expected, codec
            if abs(expected - bits) <= SEARCH_TOLERANCE * bits:
                break
            low, high = (log_level, high) if expected > bits else (low, log_level)
            if low >= high:
                break
            slope = (expected - previous[0]) / (log_level - previous[1] or math.nan)
            previous = expected, log_level
            log_level += (bits - expected) / (slope if slope < 0 else -sent / 2)
            if not low < log_level < high:
                log_level = (low + high) / 2
        assert nearest is not None
        if abs(nearest[0] - bits) > BITS_TOLERANCE * bits:
            raise UserError(
                f"bits {bits:g}: {nearest[0]:.3f} is the nearest that these vectors come to; "
                f"expected a bit per vector or more, and at most {MAX_BITS} per number"
            )
        return nearest[1]

    def _at_level(self, level: float) -> tuple[CodecState, float, int]:
        """Return the codec at a water level, its bits per vector, and its number of directions."""
        sent = self.variances > level
        v, directions = self.variances[sent], self.directions[:, sent]
        decode = (1 - level / v)[:, None] * directions.T
        codec, bits = self._codec(directions, decode, np.sqrt(level * v / (v - level)))
        return codec, bits, int(sent.sum())

    def _codec(self, encode: Floats, decode: Floats, sigma: Floats) -> tuple[CodecState, float]:
        """Return the codec whose channel has noise ``sigma``, and its bits per vector.

        The bits of the Gaussian channel follow from the variances of all vectors. The additional
        bits of the lattice are measured on the sample.
        """
        means = torch.from_numpy((self.sample - self.mean) @ encode)
        lattice = _lattice_name(self.lattice, len(sigma))
        code = code_on(make_lattice(lattice), AUTO)
        gaussian = fit_gaussian(means, torch.from_numpy(sigma))
        channel, excess = with_lattice_noise(gaussian, means, lattice, code, self.seed)
        variances = torch.from_numpy(((self.covariance @ encode) * encode).sum(0))
        with torch.no_grad():
            kl = variances + gaussian.center.square() + torch.from_numpy(sigma).square()
            kl = 0.5 * (kl / (2 * gaussian.log_prior).exp() - 1)
            nats = (kl + gaussian.log_prior - gaussian.log_sigma).sum().item() + excess
        maps = {"mean": self.mean, "encode": encode, "decode": decode, "variances": self.variances}
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in maps.items()}
        state = {f"channel.{k}": v.detach() for k, v in channel.state_dict().items()}
        return ({"lattice": lattice, "code": code}, {**tensors, **state}), nats / math.log(2)

    def _directions(self, covariance: Floats) -> tuple[Floats, Floats]:
        """Return variances ``(d,)`` and the directions of them, in columns ``(d, d)``."""
        if not self.decorrelate:
            return np.diag(covariance).copy(), np.eye(len(covariance))
        variances, directions = np.linalg.eigh(covariance)
        return np.maximum(variances, 0.0), directions


def _lattice_name(name: str, sent: int) -> str:
    """Return ``name`` or, for a family, the name of its smallest lattice for ``sent`` numbers."""
    if not takes_any_dim(name):
        return name
    for n in range(sent, sent + MAX_PADDING):
        try:
            return make_lattice(name, n=n).name
        except UserError as error:
            last = error
    raise last


def require_rows(x: npt.ArrayLike, width: int | None = None) -> Floats:
    """Return ``x`` if it is an array of rows of floats; :func:`blocks_of` checks the numbers.

    Raises:
        UserError: if ``x`` is no such array, or its rows do not have this ``width``.
    """
    with error_prefix("vectors that are no array, expected rows of one width", ValueError):
        rows = np.asanyarray(x)
    expected = "(N, d)" if width is None else f"(N, {width})"
    if rows.ndim != 2 or 0 in rows.shape or (width is not None and rows.shape[1] != width):
        raise UserError(f"vectors of shape {rows.shape}: expected {expected}")
    if rows.dtype.kind != "f" or rows.dtype.itemsize > 8:
        raise UserError(f"vectors of {rows.dtype}: expected float16, float32 or float64")
    return rows


def blocks_of(rows: Floats, task: str = "") -> Iterator[Floats]:
    """Yield ``rows`` as float64, block by block; a progress bar shows a ``task`` that has a name.

    Raises:
        UserError: if a number is not finite, or beyond float32's range.
    """
    begins = range(0, len(rows), 1 << BLOCK_BITS)
    for begin in tqdm(begins, task, disable=not task):
        block = np.asarray(rows[begin : begin + (1 << BLOCK_BITS)], dtype=np.float64)
        if not (valid := (np.abs(block) <= MAX_FLOAT).all(1)).all():
            row = begin + int(np.flatnonzero(~valid)[0])
            raise UserError(f"vector {row}: a number that is not finite; expected float32's range")
        yield block
