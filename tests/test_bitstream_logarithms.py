import math
import re

import numpy as np
import pytest
from numba import njit

from onmt_lattice.bitstream import kernels
from onmt_lattice.bitstream.logarithms import EXP, NORMAL, UNIT, exponentials, tables

NAT = 1 << UNIT
LOG1P, NORMAL_TABLE = tables().log1p, tables().normal


@njit
def log_add(a: int, b: int) -> int:
    return kernels.log_add(a, b, LOG1P)


@njit
def normal_cdf(x: int) -> int:
    return kernels.normal_cdf(x, 1.0, NORMAL_TABLE)


def test_tables_are_rounded_values() -> None:
    nats = np.arange(len(tables().exp) - 1) / 128
    assert np.abs(tables().exp[:-1] - np.exp(-nats) * 2**EXP).max() <= 0.5 + 1e-6
    assert np.abs(tables().log1p[:-1] - np.log1p(np.exp(-nats)) * NAT).max() <= 0.5 + 1e-6
    x = np.linspace(-8, 8, len(tables().normal))
    phi = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    assert np.abs(tables().normal - phi * 2**NORMAL).max() <= 0.5 + 1e-3
    assert (np.diff(tables().normal) >= 0).all()


def test_exponentials_are_rounded_correctly() -> None:
    assert exponentials(np.array([0.0, 1.0, -1.0])).tolist() == [1.0, math.e, 0.36787944117144233]
    logs = np.linspace(-20, 20, 401)
    np.testing.assert_allclose(exponentials(logs), np.exp(logs), rtol=3e-16)


@pytest.mark.parametrize("apart", [0.0, 0.003, 0.7, 5.0, 21.0, 21.999, 23.0, 1e6])
def test_log_add(apart: float) -> None:
    a, b = 5 * NAT, int((5 - apart) * NAT)
    found = log_add(a, b)
    assert found == log_add(b, a)
    assert found / NAT == pytest.approx(5 + math.log1p(math.exp(-apart)), abs=4e-6)


def test_normal_cdf() -> None:
    for x in (-1e9, -9, -3.3, -0.0004, 0, 0.7, 7.9999, 8, 1e9):
        found = normal_cdf(int(x * NAT)) / 2**NORMAL
        assert found == pytest.approx(0.5 * math.erfc(-x / math.sqrt(2)), abs=5e-7)


def test_frequencies_sum_to_the_total_and_follow_the_weights() -> None:
    out = np.empty(5)
    kernels.frequencies(np.array([3, 0, 2**30, 7, 2**29]), out)
    assert out.sum() == kernels.TOTAL - 5 and (out >= 0).all() and (out == np.rint(out)).all()
    assert out[4] / out[2] == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("name", ["energy", "normal_cdf"])
def test_no_kernel_fuses_a_product_with_a_sum(name: str) -> None:
    """These two alone have floating-point numbers; what is on disk cannot be looked at."""
    fresh = njit(nogil=True, error_model="numpy")(getattr(kernels, name).py_func)
    fresh(NAT, 0.3, *[tables().normal] * (name == "normal_cdf"))
    (text,) = fresh.inspect_asm().values()
    assert "mul" in text
    assert not re.search(r"\bv?f(n?madd|n?msub|mla|mls)", text)
