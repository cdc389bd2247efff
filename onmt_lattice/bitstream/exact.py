"""Linear maps of whole numbers, exact in any order of summation.

Numbers are in steps of 2⁻²⁰, weights in steps of 2^−bits: products and sums are whole. As long as
no sum of magnitudes reaches 2⁵², float64 represents every product and partial sum exactly. A matrix
product is therefore the same for every BLAS, vector width and number of threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from onmt_lattice.bitstream.logarithms import UNIT
from onmt_lattice.errors import UserError

Floats = npt.NDArray[np.float64]

MAX_SUM = 2**52  # a float64 has one more bit, for the sum with a bias
MIN_BITS = 8


def in_steps(numbers: Floats, bound: float) -> Floats:
    """Return ``numbers``, clipped to ± ``bound``, in whole steps of 2⁻²⁰."""
    return np.rint(np.clip(numbers, -bound, bound) * 2.0**UNIT)


class ExactLinear:
    """x ↦ Wx + b.

    Args:
        weight: W, ``(out, in)``.
        bias: b, ``(out,)``.
        bound: the largest magnitude of any x.

    Attributes:
        bits: bits of each weight after the binary point: 20, or fewer where exact sums need that.

    Raises:
        UserError: if a weight is not finite, or the weights are too large.
    """

    def __init__(self, weight: Floats, bias: Floats, bound: float) -> None:
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise UserError("the decoder has weights that are no numbers: expected a trained model")
        self.bits = UNIT
        self._bias = in_steps(bias, float(2**12))
        while not self._fits(weight, bound):
            self.bits -= 1
            if self.bits < MIN_BITS:
                raise UserError(
                    f"the decoder has weights as large as {np.max(abs(weight)):.3g}: expected a "
                    "sum of their magnitudes that leaves them 8 bits in exact arithmetic"
                )
        self._weight = np.ascontiguousarray(np.rint(weight * 2.0**self.bits).T)

    def _fits(self, weight: Floats, bound: float) -> bool:
        norms = np.abs(np.rint(weight * 2.0**self.bits)).astype(np.int64).sum(1)
        largest = int(np.max(norms)) * int(bound * 2**UNIT)
        return largest + int(np.max(abs(self._bias)) * 2**self.bits) < MAX_SUM

    def __call__(self, x: Floats) -> Floats:
        """Return Wx + b ``(rows, out)`` in steps, for x ``(rows, in)`` in whole steps."""
        output: Floats = x @ self._weight
        output *= 2.0**-self.bits
        output += self._bias
        return output
