"""Vectors in kernels: every number comes out as if computed by itself."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from onmt_lattice.lattices.simd import BYTES, floor, if_less, load, rint, size, spread, store

DTYPES = [np.float32, np.float64]
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -3.5, np.inf, -np.inf, np.nan, 1e30, -1e-30]


def rows(dtype: type) -> np.ndarray:
    """Return ``(3, lanes)``, among them what is not finite, or half way between integers."""
    lanes = BYTES // np.dtype(dtype).itemsize
    numbers = 3 * np.random.default_rng(0).standard_normal(3 * lanes)
    numbers[1 : 1 + len(SPECIAL)] = SPECIAL
    return numbers.astype(dtype).reshape(3, lanes)


@njit
def calculate(x: np.ndarray, out: np.ndarray) -> None:
    a, b, c = load(x, 0), load(x, 1), load(x, 2)
    store(out, 0, a + b)
    store(out, 1, a - b * 0.1)
    store(out, 2, 3 * a / c)
    store(out, 3, rint(a))
    store(out, 4, floor(a))
    store(out, 5, size(a))
    store(out, 6, if_less(a, b, a, 0.1))
    store(out, 7, if_less(2.0, a, 1, c))
    store(out, 8, spread(x, 0.1) * c)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_are_what_numpy_computes_number_by_number(dtype: type) -> None:
    x = rows(dtype)
    out = np.zeros((9, x.shape[1]), dtype)
    calculate(x, out)
    a, b, c = x
    tenth = dtype(0.1)
    with np.errstate(all="ignore"):
        expected = [
            *(a + b, a - b * tenth, dtype(3) * a / c, np.rint(a), np.floor(a), np.abs(a)),
            *(np.where(a < b, a, tenth), np.where(a > 2, dtype(1), c), tenth * c),
        ]
    for got, row in zip(out, expected, strict=True):
        np.testing.assert_array_equal(got, row)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_found_wherever_an_array_begins(dtype: type) -> None:
    x, lanes = rows(dtype), BYTES // np.dtype(dtype).itemsize
    expected, out = np.zeros((9, lanes), dtype), np.zeros((11, lanes), dtype)
    calculate(x, expected)
    shifted = np.concatenate([x[0, :1], x.ravel()])[1:].reshape(x.shape)  # off the vectors' grid
    calculate(shifted, out[1:10])
    np.testing.assert_array_equal(out[1:10], expected)
    assert not out[[0, 10]].any()
