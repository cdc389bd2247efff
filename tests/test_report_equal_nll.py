"""Points held against a reference curve at equal NLL."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_curves import annealed, fixed, sweep

from onmt_lattice.experiments.report.curves import by_seed
from onmt_lattice.experiments.report.equal_nll import (
    COLLAPSED,
    Cost,
    Curve,
    costs,
    front,
    levels,
    rate_at,
)
from onmt_lattice.experiments.report.results import ANNEALED, FIXED, RunResult

GRID = [(2.0, 8.0), (2.5, 4.0), (3.5, 1.0), (4.0, 0.5)]  # halves in half a bit of NLL, but once


def of(runs: list[RunResult], curve: str, reading: str = FIXED) -> list[list[Cost]]:
    return costs(sweep(runs), curve, reading)


def curve_of(run: list[RunResult], reading: str = FIXED) -> Curve:
    return front(by_seed(sweep(run), "gaussian", reading)[1])


# ---- interpolation ------------------------------------------------------------------------------


@given(
    nll=st.floats(1.0, 4.0),
    steepness=st.floats(-3.0, -0.1),
    inner=st.lists(st.floats(1.1, 3.9), max_size=4, unique=True),
)
def test_an_exponential_curve_is_met_everywhere(
    nll: float, steepness: float, inner: list[float]
) -> None:
    curve = [(x, math.exp(steepness * x)) for x in sorted([1.0, *inner, 4.0])]
    assert rate_at(nll, curve) == pytest.approx(math.exp(steepness * nll))


def test_points_are_met_exactly_and_between_them_it_is_no_dearer_than_the_chord() -> None:
    assert [rate_at(nll, GRID) for nll, _ in GRID] == [rate for _, rate in GRID]
    for (nll0, rate0), (nll1, rate1) in pairwise(GRID):
        between = rate_at((nll0 + nll1) / 2, GRID)
        assert between == pytest.approx(math.sqrt(rate0 * rate1))
        assert between < (rate0 + rate1) / 2


def test_nothing_is_extrapolated() -> None:
    for nll in (1.999, 4.001, math.inf, math.nan):
        assert rate_at(nll, GRID) is None
    assert rate_at(2.0, [(2.0, 8.0)]) == 8.0
    assert rate_at(2.1, [(2.0, 8.0)]) is None
    assert rate_at(2.0, []) is None


# ---- the front of a curve ------------------------------------------------------------------------


def test_what_is_beaten_in_both_is_no_part_of_a_curve() -> None:
    points = [(4.5, 0.0), (2.5, 4.0), (2.0, 8.0), (2.5, 3.0), (4.2, COLLAPSED / 2), (math.nan, 1.0)]
    points += [(3.0, 3.5), (3.0, 1.0)]
    assert curve_of(fixed("gaussian", 1, points)) == [(2.0, 8.0), (2.5, 3.0), (3.0, 1.0)]


def test_an_annealed_curve_begins_where_training_has_brought_the_nll_down() -> None:
    run = annealed("gaussian", 1, [(9.0, 2.5), (2.5, 9.0), (2.0, 8.0), (3.0, 2.0), (2.5, 4.0)])
    assert curve_of([run], ANNEALED) == [(2.0, 8.0), (2.5, 4.0), (3.0, 2.0)]


@given(
    st.lists(st.tuples(st.floats(1.0, 4.0), st.floats(0.1, 9.0)), min_size=1, max_size=9),
)
def test_a_front_falls_and_no_point_beats_it(points: list[tuple[float, float]]) -> None:
    curve = curve_of(fixed("gaussian", 1, points))
    assert all(nll0 < nll1 and rate0 > rate1 for (nll0, rate0), (nll1, rate1) in pairwise(curve))
    assert set(curve) <= set(points)
    for nll, rate in points:
        assert any(x <= nll and y <= rate for x, y in curve)


# ---- against the reference ----------------------------------------------------------------------


def test_levels_are_round_and_within_the_reference() -> None:
    assert levels({1: GRID}) == [2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0]
    assert levels({1: [(2.94, 3.0), (3.42, 1.0)]}) == [
        2.95,
        3.0,
        3.05,
        3.1,
        3.15,
        3.2,
        3.25,
        3.3,
        3.35,
        3.4,
    ]
    assert levels({1: [(2.1, 3.0)], 2: [(7.9, 1.0)]}) == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert levels({}) == []


@pytest.mark.parametrize("extra", [0.0, 0.75, -0.25])
def test_a_curve_that_costs_so_much_more_costs_just_that_where_it_has_points(extra: float) -> None:
    runs = [*fixed("gaussian", 1, GRID), *fixed("Z", 1, [(n, r + extra) for n, r in GRID])]
    found = {cost.nll: cost for (cost,) in of(runs, "Z")}
    assert list(found) == levels({1: GRID})
    for nll, rate in GRID:
        assert found[nll].over == pytest.approx(extra)
        assert found[nll].rate == pytest.approx(rate + extra)


def test_a_curve_is_held_against_the_reference_where_both_reach_and_nowhere_else() -> None:
    runs = [*fixed("gaussian", 1, GRID), *fixed("Z", 1, [(1.9, 9.0), (2.6, 5.0)])]
    assert [cost.nll for (cost,) in of(runs, "Z")] == [2.0, 2.25, 2.5]
    runs = [*fixed("gaussian", 1, GRID), *fixed("Z", 1, [(4.1, 9.0), (4.6, 5.0)])]
    assert of(runs, "Z") == []


def test_each_seed_has_its_own_reference_and_may_reach_less_far() -> None:
    runs = [
        *fixed("gaussian", 1, GRID),
        *fixed("gaussian", 2, [(n, r + 1) for n, r in GRID]),
        *fixed("Z", 1, [(2.0, 9.0), (2.5, 5.0)]),
        *fixed("Z", 2, [(2.0, 9.0), (3.5, 2.0)]),
        *fixed("Z", 3, [(2.0, 9.0), (3.5, 2.0)]),  # without a reference
    ]
    found = {group[0].nll: {cost.seed: cost.over for cost in group} for group in of(runs, "Z")}
    assert found[2.0] == pytest.approx({1: 1.0, 2: 0.0})
    assert found[3.5] == pytest.approx({2: 0.0})
    assert all(3 not in seeds for seeds in found.values())


def test_single_points_are_held_against_the_reference_at_their_own_nll() -> None:
    runs = [
        *(run for seed in (1, 2) for run in fixed("gaussian", seed, GRID)),
        *fixed("Z", 1, [(2.5, 4.5)]),
        *fixed("Z", 2, [(3.5, 1.25)]),
    ]
    (group,) = of(runs, "Z")
    assert [(cost.seed, cost.nll, cost.over) for cost in group] == [(1, 2.5, 0.5), (2, 3.5, 0.25)]


def test_each_reading_has_its_own_reference() -> None:
    runs = [*fixed("gaussian", 1, GRID), annealed("Z", 1, GRID)]
    assert of(runs, "Z", ANNEALED) == []
    runs.append(annealed("gaussian", 1, [(n, r - 0.25) for n, r in GRID]))
    assert of(runs, "Z", ANNEALED)[0][0].over == pytest.approx(0.25)


def test_what_has_no_code_is_not_held_against_one_that_has() -> None:
    assert of([*fixed("gaussian", 1, GRID), *fixed("none", 1, [(2.5, 0.5)])], "none") == []


def test_a_curve_without_a_code_is_not_compared_whatever_it_is_called() -> None:
    """As that of a bottleneck which another package brings."""
    (run,) = fixed("Z", 1, [(2.5, 0.5)])
    (point,) = run.points
    free = replace(point, evaluation=replace(point.evaluation, bottleneck="another", is_code=False))
    reference = fixed("gaussian", 1, GRID)
    assert of([*reference, run], "Z") != []
    assert of([*reference, replace(run, points=[free])], "Z") == []
