"""Points of a dithered lattice to bytes and back, exactly, on any machine.

**Guarantee.** Whoever has the lattice, the scales (integers g, see
:func:`~.coordinate.scale_grid`) and the :class:`DitherKey` decodes exactly the points that were
written: on any machine, with any number of threads and any version of numpy or torch. Four things
ensure this. Dither is a whole number of steps (:mod:`~onmt_lattice.bitstream.dither`). All sums are
of 64-bit integers (:mod:`~onmt_lattice.bitstream.kernels`). Exponentials come from correctly
rounded tables (:mod:`~onmt_lattice.bitstream.logarithms`). Frequencies are whole numbers that sum
to 2²⁴, which the coder uses as they are. An encoder on another machine may round floating-point
numbers differently and choose another point; that is another message, and it decodes as well.

**Cost.** On top of −log₂ P under the code: below 0.01 % for the grids and tables, up to 2⁻¹⁹ bits
per coordinate as every symbol keeps a chance, a byte or two per stream, and the file around it
(:mod:`~onmt_lattice.bitstream.file`). A coordinate more than seven spacings from its expected value
is an outlier, not an error: it takes 24 bits, six more, and the bits of the number itself.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from onmt_lattice.bitstream import kernels
from onmt_lattice.bitstream.coder import Coder, Meter, Reader, Writer
from onmt_lattice.bitstream.coding_tree import Tree
from onmt_lattice.bitstream.coordinate import coordinate_law, scale_grid
from onmt_lattice.bitstream.dither import DitherKey
from onmt_lattice.bitstream.file import points_file, points_of
from onmt_lattice.bitstream.logarithms import UNIT, Integers, tables
from onmt_lattice.codes import ConvolvedGaussianCode, DiscreteGaussianCode, LatticeCode
from onmt_lattice.errors import DamagedBitstream, UserError
from onmt_lattice.lattices.product import innermost

MAX_UNITS = 2**50  # of a coordinate: float64 distinguishes the multiples of a unit up to there
WEIGHTS_AT_ONCE = 2**22
COORDINATES_AT_ONCE = 2**16


class LatticeCodec:
    """Codes the points of sentences, ``blocks`` of them each, under a code on a dithered lattice.

    Args:
        code: ``discrete_gaussian`` on any lattice with a coding order, or on Z
            ``convolved_gaussian``. Its lattice is that of the points, at their scale.
        log_s: ``(blocks, n)``, log of the prior scales; they are rounded to the grid. Pass the
            float32 or float64 numbers of a checkpoint, not results computed from them.

    Attributes:
        grid: ``(blocks, n)``, the scales on their grid; :attr:`log_s` has them in nats.

    Raises:
        UserError: if the code cannot be written, or a scale is not finite.
        NotImplementedError: if the lattice has no coding order.
    """

    def __init__(self, code: LatticeCode, log_s: Tensor) -> None:
        fits = log_s.dim() == 2 and log_s.shape[1] == code.lattice.dim and not log_s.is_complex()
        if not (fits and log_s.isfinite().all()):
            raise UserError(
                f"log scales of shape {tuple(log_s.shape)} of {log_s.dtype}: expected finite "
                f"numbers of shape (blocks, {code.lattice.dim}), a row for each point of a sentence"
            )
        self.code, self.shape = code, tuple(log_s.shape)
        lattice, self.scale = innermost(code.lattice)
        if not isinstance(code, DiscreteGaussianCode | ConvolvedGaussianCode):
            raise UserError(f"code {code.name!r} has no bitstream: expected discrete_gaussian")
        if isinstance(code, ConvolvedGaussianCode) and lattice.dim > 1:
            raise UserError(
                f"convolved_gaussian on {lattice.name} is an estimate, and no code that could be "
                "written: expected discrete_gaussian"
            )
        self._tree = Tree(lattice.coding_order)
        self.units = self._tree.order.units * self.scale
        clamped = log_s.detach().double().cpu().clamp(code.min_log_s, code.max_log_s).numpy()
        self.grid = scale_grid(clamped.reshape(-1, lattice.dim), self.units)
        self._set_laws(isinstance(code, ConvolvedGaussianCode))

    def _set_laws(self, rounded: bool) -> None:
        """Compute the laws of all coordinates, arrays ``(points per sentence, n)``."""
        periods = self._tree.order.periods
        laws = [
            [coordinate_law(g, p, rounded) for g, p in zip(row, periods.tolist(), strict=True)]
            for row in self.grid.tolist()
        ]
        precision, terms, bits, normal = np.moveaxis(np.array(laws), -1, 0)
        self._precision, self._normal = np.ascontiguousarray(precision), normal
        self._terms, self._bits = (np.ascontiguousarray(x).astype(np.int64) for x in (terms, bits))

    @property
    def log_s(self) -> Tensor:
        """``(blocks, n)`` float64, log of the prior scales on their grid, in nats."""
        log_s = self.grid * (np.log(2) / 128) + np.log(self.units)
        return torch.from_numpy(log_s.reshape(self.shape))

    def dither(self, key: DitherKey) -> Tensor:
        """Return the dither u ``(sentences, blocks, n)`` float64: z = K(x + u) is coded, y = z − u.

        u is not in the Voronoi cell but uniform modulo the lattice, which is enough for the code.
        """
        u = self._steps(key) * (self.units / 2.0**UNIT)
        return torch.from_numpy(u.reshape(-1, *self.shape))

    def encode(self, points: Tensor, key: DitherKey) -> bytes:
        """Return a file of ``points``; :meth:`decode` returns the same integers times units.

        Args:
            points: ``(sentences, blocks, n)`` lattice points z; those of a sentence x are
                K(x + u), u its :meth:`dither`.
            key: that of the sentences, in order.

        Raises:
            UserError: if ``points`` have another shape, or one is not in the lattice.
        """
        payload = self.write(points, key)
        return points_file(self._keyed(key), len(key.indices), points.numel(), payload)

    def write(self, points: Tensor, key: DitherKey) -> bytes:
        """Return ``points`` as :meth:`encode` does, without the file around them.

        Raises:
            UserError: as :meth:`encode`.
        """
        writer = Writer()
        self._code(writer, self._steps(key), self._integers(points, key))
        return writer.payload()

    def bits(self, points: Tensor, key: DitherKey) -> float:
        """Return the bits of ``points`` in a stream, without its last bytes and the file.

        Raises:
            UserError: as :meth:`encode`.
        """
        meter = Meter()
        self._code(meter, self._steps(key), self._integers(points, key))
        return meter.total

    def decode(self, data: bytes, key: DitherKey) -> Tensor:
        """Return the points ``(sentences, blocks, n)`` float64 of a file.

        Raises:
            BitstreamError: if ``data`` is not a complete and unaltered file that this code wrote
                for these sentences.
        """
        return self.read(points_of(data, self._keyed(key), len(key.indices)), key)

    def read(self, payload: bytes, key: DitherKey) -> Tensor:
        """Return the points ``(sentences, blocks, n)`` float64 that :meth:`write` wrote.

        Raises:
            BitstreamError: if ``payload`` is too short or too long, or no encoder wrote it.
        """
        reader = Reader(payload)
        units = self._code(reader, self._steps(key), None)
        reader.check_end()
        if (np.abs(units) > MAX_UNITS).any():
            raise DamagedBitstream(f"a coordinate beyond {MAX_UNITS}: expected what encode takes")
        return torch.from_numpy((units * self.units).reshape(-1, *self.shape))

    def _code(self, coder: Coder, steps: Integers, points: Integers | None) -> Integers:
        """Code integer points ``(N, n)``, None to read them, chunk by chunk, and return them."""
        n = steps.shape[1]
        blocks = np.arange(len(steps)) % len(self.grid)
        size = min(WEIGHTS_AT_ONCE // int(self._tree.starts[-1]), COORDINATES_AT_ONCE // n) or 1
        coded = np.empty_like(steps)
        for begin in range(0, len(steps), size):
            chunk = slice(begin, begin + size)
            chunk_points = None if points is None else points[chunk]
            coded[chunk] = self._code_chunk(coder, steps[chunk], blocks[chunk], chunk_points)
        return coded

    def _code_chunk(
        self, coder: Coder, steps: Integers, blocks: Integers, points: Integers | None
    ) -> Integers:
        """Code the classes, then the residues, then the rest of all coordinates."""
        periods = self._tree.order.periods
        classes = self._tree.code(coder, steps, blocks, self._precision, self._terms, points)
        bits = self._bits[blocks]
        residues = None if points is None else ((points - classes) // periods) & ((1 << bits) - 1)
        residues = coder.bits(bits.ravel(), None if residues is None else residues.ravel())
        low = classes + periods * residues.reshape(classes.shape)
        spacing = periods << bits
        centre = ((steps - (low << UNIT)) + (spacing << (UNIT - 1))) // (spacing << UNIT)
        low += centre * spacing
        out = np.empty((low.size, kernels.SYMBOLS))
        kernels.number_tables(
            (steps - (low << UNIT)).ravel(),
            (spacing << UNIT).ravel(),
            self._precision[blocks].ravel(),
            self._normal[blocks].ravel(),
            tables().exp,
            tables().normal,
            out,
        )
        numbers = None if points is None else ((points - low) // spacing).ravel()
        return low + spacing * _code_numbers(coder, out, numbers).reshape(low.shape)

    def _steps(self, key: DitherKey) -> Integers:
        """Return the dither ``(points, n)`` in steps."""
        steps = key.steps(self.grid.size).reshape(-1, self.grid.shape[1])
        return steps * self._tree.order.periods

    def _integers(self, points: Tensor, key: DitherKey) -> Integers:
        """Return ``points`` in their units ``(points, n)``, checked."""
        expected = (len(key.indices), *self.shape)
        if tuple(points.shape) != expected:
            raise UserError(f"points of shape {tuple(points.shape)}: expected {expected}")
        if not points.is_floating_point():
            raise UserError(f"points of {points.dtype}: expected what its nearest_point returns")
        exact = points.detach().double().cpu().numpy().reshape(-1, len(self.units)) / self.units
        eps = torch.finfo(points.dtype).eps
        farthest = min(MAX_UNITS, 0.25 / eps)
        with np.errstate(invalid="ignore"):
            whole, size = np.rint(exact), np.abs(exact)
            far = not (size <= farthest).all()
            if far or (np.abs(exact - whole) > 1e-3 + size * eps).any():
                raise UserError(
                    f"points that are none of {self.code.lattice!r}, or beyond {farthest:.0f} "
                    "units: expected what its nearest_point returns"
                )
        return whole.astype(np.int64)

    @property
    def fingerprint(self) -> int:
        """A CRC-32 of everything that decoding depends on except the key."""
        return self._keyed(DitherKey(0, ()))

    def _keyed(self, key: DitherKey) -> int:
        """Return a CRC-32 of everything that decoding depends on, ``key`` included."""
        name, seed = f"{self.code.name} {innermost(self.code.lattice)[0].name}", key.seed
        digest = zlib.crc32(f"{name} {self.shape} {seed}".encode())
        for numbers in (self.grid.astype("<i8"), np.array(key.indices, dtype="<u8")):
            digest = zlib.crc32(numbers.tobytes(), digest)
        return digest


def _code_numbers(
    coder: Coder, frequencies: npt.NDArray[np.float64], numbers: Integers | None
) -> Integers:
    """Code ``numbers`` ``(N,)`` around 0; one far from 0 by the last symbol and then by itself."""
    around, others = kernels.AROUND, kernels.SYMBOLS - 1
    symbols = None
    if numbers is not None:
        symbols = np.where(np.abs(numbers) <= around, numbers + around, others)
    symbols = coder.symbols(frequencies, symbols)
    far = symbols == others
    coded = symbols - around
    coded[far] = coder.integers(int(far.sum()), None if numbers is None else numbers[far])
    return coded
