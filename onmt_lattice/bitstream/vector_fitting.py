"""What a codec of vectors is fitted to: their covariance, a water level, and a lattice's prior.

Reverse water-filling (Cover & Thomas, Elements of Information Theory, section 10.3.3): at water
level θ a direction of variance v > θ gets noise of variance θv/(v − θ) and at the decoder the
factor 1 − θ/v (Wiener's), so that its error is θ; the others are not sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from onmt_lattice.bottlenecks.gaussian_to_lattice import fit_gaussian, put_lattice_in
from onmt_lattice.bottlenecks.lattice import AUTO, code_on
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.registry import takes_any_dim

Floats = npt.NDArray[np.float64]

AT_ONCE = 2**12  # rows in memory
FITTED = 2000  # rows at most that the code's prior is fitted to
CODED = 20_000  # rows at most that are coded to see how many bits that takes
LEAST_ROWS = 100
CLOSE, ENOUGH = 0.003, 0.01  # of the bits asked for
SEARCHES = 20
PADDED = 64  # numbers at most that a convolutional lattice has more than are sent
SMALLEST = 1e-12  # share of the largest variance below which a direction has none
MOST_BITS = 24  # per number: float32, in which vectors come back, has no more
LARGEST, LEAST_VARIANCE = np.finfo(np.float32).max, float(np.finfo(np.float32).tiny) ** 2

TOO_FINE = (
    "less than float32 can show beside these vectors; "
    f"expected 2^-{MOST_BITS} of their standard deviation or more"
)

Parts = tuple[dict[str, str], dict[str, Tensor]]  # of a codec


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


class Fitting:
    """Vectors to fit to: their mean and directions, and the codecs for what may be asked for."""

    def __init__(
        self, rows: Floats, lattice: str, decorrelate: bool, seed: int, progress: bool = False
    ) -> None:
        if not takes_any_dim(lattice):
            make_lattice(lattice)  # a name that is none is an error before all of them are read
        self.lattice, self.seed, self.decorrelate = lattice, seed, decorrelate
        near = np.asarray(rows[0], np.float64)  # them, so that nothing is lost to cancellation
        total, square = np.zeros(len(near)), np.zeros((len(near), len(near)))
        for block in blocks_of(rows, "fitting" if progress else ""):
            total += (block - near).sum(0)
            square += (block - near).T @ (block - near)
        count = len(rows)
        self.mean = near + total / count
        self.covariance = (square - np.outer(total, total) / count) / (count - 1)
        self.rows = rows
        self.sample = self._chosen(FITTED)
        self.variances, self.directions = self._directions(self.covariance)
        self.most = float(np.max(self.variances))
        if not self.most > LEAST_VARIANCE:
            raise UserError("vectors that are all the same: expected some variance to code")

    def to_code(self) -> Floats:
        """Return the vectors, or enough of them, to see what they take in a file."""
        return self._chosen(CODED)

    def _chosen(self, count: int) -> Floats:
        if len(self.rows) <= count:
            return np.asarray(self.rows, np.float64)
        chosen = np.random.default_rng(self.seed).choice(len(self.rows), count, replace=False)
        return np.asarray(self.rows[np.sort(chosen)], np.float64)

    def additive(self, noise: Floats) -> Parts:
        """Return the codec whose error is additive, of standard deviations ``noise`` ``(d,)``."""
        if not ((noise > 1 / LARGEST) & (noise < LARGEST)).all():
            worst = noise[np.argmax(np.abs(np.log(noise)))]
            raise UserError(f"noise of {worst:.3g}: expected float32's range")
        variances, directions = self._directions(self.covariance / np.outer(noise, noise))
        if np.max(variances) > 4.0**MOST_BITS:
            raise UserError(f"noise of {np.min(noise):.3g}: {TOO_FINE}")
        kept = variances > SMALLEST * np.max(variances)
        encode = directions[:, kept] / noise[:, None]
        decode = directions[:, kept].T * noise
        return self._codec(encode, decode, np.ones(kept.sum()))[0]

    def for_error(self, mse: float) -> Parts:
        """Return the codec whose mean squared error per number is ``mse``."""
        if mse >= (most := self.variances.mean()):
            raise UserError(f"mse {mse}: expected less than {most:.6g}, their variance per number")
        level = water_level(self.variances, mse)
        if level < self.most / 4.0**MOST_BITS:
            raise UserError(f"mse {mse}: {TOO_FINE}")
        return self._at_level(level)[0]

    def for_bits(self, bits: float) -> Parts:
        """Return the codec whose mean is ``bits`` per vector."""
        high = math.log2(self.most) - 1e-3  # levels of too few bits, and of too many
        low = high - 2 * MOST_BITS
        log_level = high - 2 * bits / len(self.variances)
        nearest, before = None, (math.nan, math.nan)
        for _ in range(SEARCHES):
            log_level = min(max(log_level, low), high)
            made, found, sent = self._at_level(2.0**log_level)
            if nearest is None or abs(found - bits) < abs(nearest[0] - bits):
                nearest = found, made
            if abs(found - bits) <= CLOSE * bits:
                break
            low, high = (log_level, high) if found > bits else (low, log_level)
            if low >= high:
                break
            slope = (found - before[0]) / (log_level - before[1] or math.nan)
            before = found, log_level
            log_level += (bits - found) / (slope if slope < 0 else -sent / 2)
            if not low < log_level < high:
                log_level = (low + high) / 2
        assert nearest is not None
        if abs(nearest[0] - bits) > ENOUGH * bits:
            raise UserError(
                f"bits {bits:g}: {nearest[0]:.3f} is the nearest that these vectors come to; "
                f"expected a bit per vector or more, and at most {MOST_BITS} per number"
            )
        return nearest[1]

    def _at_level(self, level: float) -> tuple[Parts, float, int]:
        """Return the codec at a water level, its bits per vector, and the directions sent."""
        kept = self.variances > level
        v, directions = self.variances[kept], self.directions[:, kept]
        decode = (1 - level / v)[:, None] * directions.T
        made, bits = self._codec(directions, decode, np.sqrt(level * v / (v - level)))
        return made, bits, int(kept.sum())

    def _codec(self, encode: Floats, decode: Floats, sigma: Floats) -> tuple[Parts, float]:
        """Return the codec whose channel has noise ``sigma``, and its bits per vector.

        What the lattice costs over the Gaussian is that of the sample, what the Gaussian costs that
        of all vectors: it follows from their variances.
        """
        means = torch.from_numpy((self.sample - self.mean) @ encode)
        lattice = _lattice_name(self.lattice, len(sigma))
        code = code_on(make_lattice(lattice), AUTO)
        gaussian = fit_gaussian(means, torch.from_numpy(sigma))
        channel, excess = put_lattice_in(gaussian, means, lattice, code, self.seed)
        variances = torch.from_numpy(((self.covariance @ encode) * encode).sum(0))
        with torch.no_grad():
            kl = variances + gaussian.center.square() + torch.from_numpy(sigma).square()
            kl = 0.5 * (kl / (2 * gaussian.log_prior).exp() - 1)
            nats = (kl + gaussian.log_prior - gaussian.log_sigma).sum().item() + excess
        named = {"mean": self.mean, "encode": encode, "decode": decode, "variances": self.variances}
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in named.items()}
        state = {f"channel.{k}": v.detach() for k, v in channel.state_dict().items()}
        return ({"lattice": lattice, "code": code}, {**tensors, **state}), nats / math.log(2)

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


def checked(x: npt.ArrayLike, width: int | None = None) -> Floats:
    """Return ``x`` if it is an array of rows of floats; numbers are checked as they are read."""
    try:
        rows = np.asanyarray(x)
    except ValueError as error:
        raise UserError(
            f"vectors that are no array ({error}): expected rows of one width"
        ) from error
    wanted = "(N, d)" if width is None else f"(N, {width})"
    if rows.ndim != 2 or 0 in rows.shape or (width is not None and rows.shape[1] != width):
        raise UserError(f"vectors of shape {rows.shape}: expected {wanted}")
    if rows.dtype.kind != "f" or rows.dtype.itemsize > 8:
        raise UserError(f"vectors of {rows.dtype}: expected float16, float32 or float64")
    return rows


def blocks_of(rows: Floats, doing: str = "") -> Iterator[Floats]:
    """Yield ``rows``, some at a time, as float64; a progress bar says what is ``doing``."""
    begins = range(0, len(rows), AT_ONCE)
    for begin in tqdm(begins, doing, disable=not doing):
        block = np.asarray(rows[begin : begin + AT_ONCE], dtype=np.float64)
        if not (good := (np.abs(block) <= LARGEST).all(1)).all():
            row = begin + int(np.flatnonzero(~good)[0])
            raise UserError(f"vector {row}: a number that is not finite; expected float32's range")
        yield block
