"""One coordinate of a point: its scale on a finite grid, and what follows from that.

A coordinate is x = c + P(r + wj): c its class mod P; r, of the residues mod a power of two w, is
as good as uniform where the scale is large, and is sent as bits; j is then among few integers.
With σ = 2^(g/128) in units of the coordinate, w is the least for which σ ≤ 1.2·Pw. Taking r as
uniform costs less than 10⁻⁶ nats, and the grid of scales less than 10⁻⁵.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onmt_lattice.bitstream.logarithms import UNIT, Integers

GRID = 128  # scales an octave
STEPS_A_NAT = 184.66496523378732  # GRID/log 2, the same everywhere
WIDEST = Decimal("1.2")  # scale of j
FLAT = Decimal("0.75")  # scale over period from which on all classes weigh the same
TERMS = ((Decimal("0.25"), 1), (Decimal("0.4"), 2), (FLAT, 4))  # pairs of terms of a class


class Line(NamedTuple):
    """What kernels have to know of the law of a coordinate.

    Attributes:
        precision: 1/2s² in units of log weight for each squared step of dither.
        terms: pairs of terms that the weight of a class is summed from; 0 if classes are alike.
        bits: log₂ w.
        normal: 1/σ where j is a rounded normal number, and 0 where it is a discrete Gaussian.
    """

    precision: float
    terms: int
    bits: int
    normal: float


@lru_cache(maxsize=2**16)
def line(grid: int, period: int, rounded: bool) -> Line:
    """Return the law of a coordinate of scale 2^(grid/128) whose classes are mod ``period``.

    A rounded normal number of σ > 1.2 is taken for a discrete Gaussian of variance σ² + 1/12, from
    which it differs by less than 10⁻⁶ nats.
    """
    with localcontext() as context:
        context.prec = 30
        sigma = (Decimal(grid) / GRID * Decimal(2).ln()).exp()
        as_normal = rounded and sigma <= WIDEST * period
        if rounded and not as_normal:
            sigma = (sigma * sigma + Decimal(1) / 12).sqrt()
        relative = sigma / period
        terms = next((count for limit, count in TERMS if relative < limit), 0)
        bits = 0
        while relative > WIDEST * 2**bits:
            bits += 1
        precision = Decimal(2) ** (-UNIT - 1) / (sigma * sigma)
        return Line(float(precision), terms, bits, float(1 / sigma) if as_normal else 0.0)


def scale_grid(log_s: npt.NDArray[np.float64], units: npt.NDArray[np.float64]) -> Integers:
    """Return g of each coordinate, 128 · log₂(s/unit) rounded.

    From one float64 number to another by a product and a difference, which IEEE 754 rounds alike
    everywhere; so a checkpoint need not hold g. A libm has its say in log(unit) alone, which is
    rounded to 2⁻¹⁰ steps first: no lattice's is anywhere near half-way between two of these.
    """
    own = np.rint(np.log2(units) * (GRID * 2**10)) / 2**10
    return np.rint(log_s * STEPS_A_NAT - own).astype(np.int64)
