"""Points held against a reference curve at equal NLL."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_curves import DIM, SENTENCES, WORDS, annealed, fixed, sweep

from onmt_lattice.lattices import make_lattice
from onmt_lattice.sweep.curves import by_seed
from onmt_lattice.sweep.equal_nll import (
    COLLAPSED,
    COMPARED,
    EARLY,
    OUTSIDE,
    UNMATCHED,
    held,
    rate_at,
    reference_curve,
    space_filling_loss,
)
from onmt_lattice.sweep.results import RunResult
from onmt_lattice.sweep.run import ANNEALED, FIXED

GRID = [(2.0, 8.0), (2.5, 4.0), (3.5, 1.0), (4.0, 0.5)]  # halves in half a bit of NLL, but once


def outcomes(runs: list[RunResult], curve: str, reading: str = FIXED) -> list[str]:
    return [point.outcome for point in held(sweep(runs), curve, reading)]


def over(runs: list[RunResult], curve: str, reading: str = FIXED) -> list[float | None]:
    return [point.over for point in held(sweep(runs), curve, reading)]


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


def test_of_equal_nll_the_cheapest_counts_and_what_has_collapsed_does_not() -> None:
    points = [(4.5, 0.0), (2.5, 4.0), (2.0, 8.0), (2.5, 3.0), (4.2, COLLAPSED / 2), (math.nan, 1.0)]
    runs = fixed("gaussian", 1, points)
    marks = by_seed(sweep(runs), "gaussian", FIXED)[1]
    assert reference_curve(marks, FIXED) == [(2.0, 8.0), (2.5, 3.0)]
    runs += fixed("Z", 1, [(2.5, 3.5), (4.2, 0.5)])
    assert over(runs, "Z") == [0.5, None]
    assert outcomes(runs, "Z") == [COMPARED, OUTSIDE]


def test_an_annealed_reference_is_its_trade_off_in_the_order_of_the_nll() -> None:
    run = annealed("gaussian", 1, [(9.0, 0.1), (2.5, 9.0), (2.0, 8.0), (3.0, 2.0), (2.5, 4.0)])
    marks = by_seed(sweep([run]), "gaussian", ANNEALED)[1]
    assert reference_curve(marks, ANNEALED) == [(2.0, 8.0), (2.5, 4.0), (3.0, 2.0)]


# ---- points held against it ---------------------------------------------------------------------


@pytest.mark.parametrize("extra", [0.0, 0.75, -0.25])
def test_a_curve_that_costs_so_much_more_costs_just_that(extra: float) -> None:
    runs = [*fixed("gaussian", 1, GRID), *fixed("Z", 1, [(n, r + extra) for n, r in GRID])]
    assert over(runs, "Z") == [extra] * len(GRID)
    assert over(runs, "gaussian") == [0.0] * len(GRID)


def test_each_seed_has_its_own_reference() -> None:
    runs = [
        *fixed("gaussian", 1, GRID),
        *fixed("gaussian", 2, [(n, r + 1) for n, r in GRID]),
        *(run for seed in (1, 2, 3) for run in fixed("Z", seed, [(2.5, 5.0)])),
    ]
    assert over(runs, "Z") == [1.0, 0.0, None]
    assert outcomes(runs, "Z") == [COMPARED, COMPARED, UNMATCHED]


def test_each_reading_has_its_own_reference() -> None:
    runs = [*fixed("gaussian", 1, GRID), annealed("Z", 1, GRID)]
    assert outcomes(runs, "Z", ANNEALED) == [UNMATCHED] * len(GRID)
    runs.append(annealed("gaussian", 1, [(n, r - 0.25) for n, r in GRID]))
    assert over(runs, "Z", ANNEALED) == [0.25] * len(GRID)


def test_no_point_is_lost() -> None:
    early = [(9.0, 1.0), (3.0, 7.0)]  # the second within the reference, yet untrained
    late = [(1.9, 9.0), (2.5, 4.5), (4.5, 0.4), (4.0, 1.0)]
    runs = [annealed("gaussian", 1, [(8.0, 5.0), *GRID]), annealed("Z", 1, [*early, *late])]
    assert outcomes(runs, "Z", ANNEALED) == [EARLY, EARLY, OUTSIDE, COMPARED, OUTSIDE, COMPARED]
    assert over(runs, "Z", ANNEALED) == [None, None, None, 0.5, None, 0.5]


def test_what_has_no_code_is_not_held_against_one_that_has() -> None:
    runs = [*fixed("gaussian", 1, GRID), *fixed("none", 1, [(2.5, 0.0)])]
    assert outcomes(runs, "none") == [UNMATCHED]


def test_bits_a_dimension_and_their_share_of_the_loss() -> None:
    runs = [*fixed("gaussian", 1, GRID), *fixed("E8", 1, [(2.5, 4.5)])]
    (point,) = held(sweep(runs), "E8", FIXED)
    loss = 0.5 * math.log2(2 * math.pi * math.e * make_lattice("E8").nsm)
    assert point.loss == pytest.approx(loss) == space_filling_loss("E8")
    assert point.over_dimension == pytest.approx(0.5 * WORDS / SENTENCES / DIM)
    assert point.share == pytest.approx(100 * 0.5 * WORDS / SENTENCES / DIM / loss)


def test_only_lattices_have_a_space_filling_loss() -> None:
    runs = [*fixed("gaussian", 1, GRID), *fixed("ste_scalar M=2", 1, [(2.5, 4.5)])]
    (point,) = held(sweep(runs), "ste_scalar M=2", FIXED)
    assert (point.over, point.loss, point.over_dimension, point.share) == (0.5, None, None, None)


def test_the_loss_of_the_cube() -> None:
    assert space_filling_loss("Z") == pytest.approx(0.5 * math.log2(2 * math.pi * math.e / 12))
