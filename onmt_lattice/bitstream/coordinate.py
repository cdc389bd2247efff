"""One coordinate of a point: its scale on a finite grid, and the law that follows from it.

A coordinate is x = c + P(r + wj). c is its class mod P. r is a residue mod a power of two w; where
the scale is large, r is practically uniform and is sent as bits. j is then one of few integers.
With σ = 2^(g/128) in units of the coordinate, w is the smallest for which σ ≤ 1.2·Pw. Taking r as
uniform costs less than 10⁻⁶ nats, and the grid of scales less than 10⁻⁵.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onmt_lattice.bitstream.logarithms import UNIT, Integers

GRID = 128  # scales per octave
STEPS_PER_NAT = 184.66496523378732  # GRID/log 2, the same everywhere
WIDEST = Decimal("1.2")  # largest scale of j
FLAT = Decimal("0.75")  # scale over period, from which on all classes have equal weight
TERMS = ((Decimal("0.25"), 1), (Decimal("0.4"), 2), (FLAT, 4))  # pairs of terms of a class


class CoordinateLaw(NamedTuple):
    """The law of a coordinate, as kernels need it.

    Attributes:
        precision: 1/2s² in units of log weight for each squared step of dither.
        terms: pairs of terms summed for the weight of a class; 0 if all classes weigh the same.
        bits: log₂ w.
        normal: 1/σ if j is a rounded normal number, 0 if it is a discrete Gaussian.
    """

    precision: float
    terms: int
    bits: int
    normal: float


@lru_cache(maxsize=2**16)
def coordinate_law(grid: int, period: int, rounded: bool) -> CoordinateLaw:
    """Return the law of a coordinate of scale 2^(grid/128) with classes mod ``period``.

    If ``rounded``, the coordinate is a rounded normal number. With σ > 1.2 periods it is treated as
    a discrete Gaussian of variance σ² + 1/12, from which it differs by less than 10⁻⁶ nats.
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
        return CoordinateLaw(float(precision), terms, bits, float(1 / sigma) if as_normal else 0.0)


def scale_grid(log_s: npt.NDArray[np.float64], units: npt.NDArray[np.float64]) -> Integers:
    """Return g of each coordinate, 128 · log₂(s/unit) rounded.

    A product and a difference of float64 numbers are rounded alike everywhere by IEEE 754, so a
    checkpoint need not hold g. Only log(unit) depends on a libm. It is first rounded to 2⁻¹⁰ steps;
    for no lattice is it near half-way between two of them.
    """
    unit_steps = np.rint(np.log2(units) * (GRID * 2**10)) / 2**10
    return np.rint(log_s * STEPS_PER_NAT - unit_steps).astype(np.int64)
