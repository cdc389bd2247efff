"""Logarithms and probabilities in integers: the same on any machine.

A log weight is an integer multiple of 2⁻²⁰ nats. Sums of weights, exponentials and the normal CDF
are interpolated linearly in tables. The tables come from Python's ``decimal``, whose exp and ln are
correctly rounded by specification, so that they are the same everywhere.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

UNIT = 20  # a nat is 2^20 units of log weight, the unit of a coordinate 2^20 steps of dither
STEP = 13  # entries of the log tables are 2^13 units, 1/128 nat, apart
REACH = 22  # nats between two weights, beyond which the smaller one is ignored
EXP = 30  # weights are multiples of 2^-30
NORMAL = 36  # values of the normal CDF are multiples of 2^-36
NORMAL_STEP = 10  # entries of its table are 2^10 steps, 1/1024, apart
NORMAL_REACH = 8  # standard deviations, beyond which the CDF is 0 or 1


class Tables(NamedTuple):
    """The tables that kernels read.

    Attributes:
        log1p: log(1 + e^−d) in units, at d = 0, 1/128, … nats.
        exp: e^−d · 2^30, at the same d; the last is 0.
        normal: Φ(x) · 2^36, at x = −8, −8 + 1/1024, … 8; the ends are 0 and 2^36.
    """

    log1p: Integers
    exp: Integers
    normal: Integers


@cache
def tables() -> Tables:
    """Return the tables."""
    with localcontext() as context:
        context.prec = 30
        per_nat = 1 << (UNIT - STEP)
        falling = [(-Decimal(i) / per_nat).exp() for i in range(REACH * per_nat)]
        log1p = [round((1 + e).ln() * 2**UNIT) for e in falling]
        exp = [round(e * 2**EXP) for e in falling]
        normal = _normal()
    return Tables(np.array([*log1p, 0]), np.array([*exp, 0]), normal)


def exponentials(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return e^x of each of ``logs`` ``(N,)``, the same on any machine, unlike a libm's exp."""
    with localcontext() as context:
        context.prec = 30
        return np.array([float(Decimal(x).exp()) for x in logs.tolist()])


def _normal() -> Integers:
    """Return the table of Φ, from Φ(x) = ½ + φ(x) Σ_k x^(2k+1)/(1·3·…·(2k+1))."""
    steps = 1 << (UNIT - NORMAL_STEP)
    density = 1 / (2 * Decimal("3.14159265358979323846264338328")).sqrt()
    above = []
    for i in range(1, NORMAL_REACH * steps):
        x = Decimal(i) / steps
        square, term, total, k = x * x, x, x, 1
        while term > Decimal("1e-16") * total:
            k += 2
            term = term * square / k
            total += term
        above.append(round((Decimal("0.5") + density * (-square / 2).exp() * total) * 2**NORMAL))
    top, half = 1 << NORMAL, 1 << (NORMAL - 1)
    below = [top - value for value in reversed(above)]
    return np.array([0, *below, half, *above, top])
