import math

import mpmath
import pytest
import torch

from onmt_lattice.lattices.theta import log_theta_line

mpmath.mp.dps = 40
PLACES = [0.0, 1e-9, 0.13, 0.25, 0.4999, 0.5, -0.5, 7.3, -1234.5]
SCALES = [1e-4, 1e-2, 0.05, 0.1, 0.2, 0.3, 0.39, 0.3989, 0.399, 0.4, 0.5, 0.7, 1.0, 2.0, 50.0, 1e4]


def exact_log_theta(y: float, s: float) -> mpmath.mpf:
    """Sum the side that converges faster, to 40 digits: the only reading no float takes part in."""
    y, s = mpmath.mpf(y), mpmath.mpf(s)
    if s < 1:
        nearest = mpmath.nint(y)
        exponents = [-((y - nearest - k) ** 2) / (2 * s**2) for k in range(-16, 17)]
        top = max(exponents)
        return top + mpmath.log(mpmath.fsum(mpmath.exp(e - top) for e in exponents))
    waves = mpmath.fsum(
        mpmath.exp(-2 * (mpmath.pi * s * j) ** 2) * mpmath.cos(2 * mpmath.pi * j * y)
        for j in range(1, 9)
    )
    return mpmath.log(mpmath.sqrt(2 * mpmath.pi) * s * (1 + 2 * waves))


@pytest.mark.parametrize("s", SCALES)
def test_exact_to_machine_precision(s: float) -> None:
    y, log_s = torch.tensor(PLACES, dtype=torch.float64), math.log(s)
    value = log_theta_line(y, torch.tensor(log_s, dtype=torch.float64))
    for y_1, value_1 in zip(PLACES, value.tolist(), strict=True):
        expected = float(exact_log_theta(y_1, mpmath.exp(log_s)))
        assert value_1 == pytest.approx(expected, rel=1e-14 * max(1, abs(y_1)), abs=1e-15)


@pytest.mark.parametrize("s", SCALES[::3])
def test_gradients_are_those_of_the_exact_sum(s: float) -> None:
    log_s = math.log(s)
    for place in PLACES[:-2]:
        y = torch.tensor(place, dtype=torch.float64, requires_grad=True)
        t = torch.tensor(log_s, dtype=torch.float64, requires_grad=True)
        grad_y, grad_t = torch.autograd.grad(log_theta_line(y, t), (y, t))
        if abs(place) != 0.5 or s > 1e-2:  # where mpmath's differences straddle the kink
            by_y = mpmath.diff(lambda v: exact_log_theta(v, mpmath.exp(log_s)), place)
            assert grad_y.item() == pytest.approx(float(by_y), rel=1e-10, abs=1e-10)
        by_t = mpmath.diff(lambda v, y_1=place: exact_log_theta(y_1, mpmath.exp(v)), log_s)
        assert grad_t.item() == pytest.approx(float(by_t), rel=1e-10, abs=1e-10)
