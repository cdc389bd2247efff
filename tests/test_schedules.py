"""The schedules of λ at their named points."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.options.schedules import LOGISTIC_STEEPNESS, SCHEDULES, RateWeight

MIDPOINT = 1000
GROWING = ("hyperbolic", "logistic")


def weight(schedule: str, asymptote: float = 3.0, midpoint: int = MIDPOINT) -> RateWeight:
    return RateWeight(asymptote, schedule, midpoint)


def test_the_defaults_are_those_of_the_paper() -> None:
    assert RateWeight() == RateWeight(asymptote=1.0, schedule="logistic", midpoint=100_000)
    assert RateWeight()(100_000) == 0.5


@pytest.mark.parametrize("schedule", GROWING)
def test_the_midpoint_has_half_the_asymptote(schedule: str) -> None:
    assert weight(schedule)(MIDPOINT) == 1.5


@pytest.mark.parametrize("step", [0, 1, MIDPOINT, 10**18])
def test_constant_is_the_asymptote_at_every_step(step: int) -> None:
    assert weight("constant")(step) == 3.0


def test_the_start_of_each_schedule() -> None:
    assert weight("hyperbolic")(0) == 0.0
    assert weight("logistic")(0) == pytest.approx(3 / (1 + math.exp(LOGISTIC_STEEPNESS)))
    assert 0 < weight("logistic")(0) < 0.01 * 3


def test_logistic_is_symmetric_about_its_midpoint() -> None:
    for step in (0, 1, 250, 999):
        total = weight("logistic")(step) + weight("logistic")(2 * MIDPOINT - step)
        assert total == pytest.approx(3.0, rel=1e-12)


def test_hyperbolic_is_t_over_one_plus_t() -> None:
    assert weight("hyperbolic")(3 * MIDPOINT) == pytest.approx(3.0 * 3 / 4)
    assert weight("hyperbolic")(MIDPOINT // 4) == pytest.approx(3.0 / 5)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize("midpoint", [1, 100_000, 10**9])
def test_every_schedule_tends_to_its_asymptote(schedule: str, midpoint: int) -> None:
    limit = weight(schedule, midpoint=midpoint)(10**10 * midpoint)
    assert limit == pytest.approx(3.0, rel=1e-9)


@settings(derandomize=True, deadline=None)
@given(
    schedule=st.sampled_from(sorted(SCHEDULES)),
    asymptote=st.floats(0, 1e6),
    midpoint=st.integers(1, 10**9),
    step=st.integers(0, 10**15),
)
def test_a_weight_never_falls_nor_leaves_its_range(
    schedule: str, asymptote: float, midpoint: int, step: int
) -> None:
    λ = RateWeight(asymptote, schedule, midpoint)
    assert 0 <= λ(step) <= λ(step + midpoint) <= asymptote


@pytest.mark.parametrize("schedule", GROWING)
def test_a_growing_schedule_grows(schedule: str) -> None:
    values = [weight(schedule)(step) for step in range(0, 3000, 100)]
    assert values == sorted(set(values))


def test_an_asymptote_of_zero_switches_the_rate_off() -> None:
    assert all(weight(schedule, asymptote=0.0)(10**6) == 0 for schedule in SCHEDULES)


@pytest.mark.parametrize("asymptote", [-0.1, math.nan, math.inf])
def test_an_impossible_asymptote_is_refused(asymptote: float) -> None:
    message = rf"-rate_weight {asymptote}: expected at least 0"
    with pytest.raises(UserError, match=message):
        RateWeight(asymptote)


@pytest.mark.parametrize("midpoint", [0, -5])
def test_a_midpoint_before_the_first_step_is_refused(midpoint: int) -> None:
    with pytest.raises(UserError, match=f"-rate_weight_midpoint {midpoint}: expected at least 1"):
        RateWeight(midpoint=midpoint)


def test_an_unknown_schedule_is_answered_with_the_nearest_and_the_list() -> None:
    with pytest.raises(UserError) as error:
        RateWeight(schedule="logistics")
    assert str(error.value) == (
        "unknown rate weight schedule 'logistics'; did you mean 'logistic'? "
        "(valid: constant, hyperbolic, logistic)"
    )
