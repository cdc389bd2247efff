"""Costs of a sweep: points by seed and place, against the reference at equal NLL, and in tables."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_results import DIM, SENTENCES, WORDS, annealed, fixed, sweep, unfinished

from onmt_lattice.experiments.report.comparison import (
    Comparison,
    compare,
    comparison_table,
    point_table,
    text,
)
from onmt_lattice.experiments.report.curves import (
    COLLAPSED,
    Cost,
    Curve,
    Spread,
    by_point,
    by_seed,
    costs,
    front,
    levels,
    rate_at,
)
from onmt_lattice.experiments.report.results import ANNEALED, FIXED, Results, RunResult
from onmt_lattice.lattices import make_lattice

POINTS = [(2.0, 5.0), (3.0, 2.0), (2.5, 3.0)]


def test_a_spread_lies_about_its_mean() -> None:
    spread = Spread.of([(1, 2.0), (1, 4.0), (2, 7.0), (3, None), (4, 1.0)])
    assert spread is not None and spread.seeds == {1: 3.0, 2: 7.0, 4: 1.0}
    assert (spread.mean, *spread.ends) == (11 / 3, 1.0, 7.0)
    assert spread.text("+.1f") == "+3.7 [+1.0, +7.0]"
    assert Spread({5: 2.0}).text(".2f") == "2.00"
    assert Spread.of([(1, None)]) is None


def test_a_place_is_what_varies_and_a_seed_goes_through_all() -> None:
    results = sweep([*fixed("Z", 1, POINTS), *fixed("Z", 2, POINTS[:2]), annealed("Z", 1, POINTS)])
    seeds, places = by_seed(results, "Z", FIXED), by_point(results, "Z", FIXED)
    assert {seed: [mark.nll for mark in marks] for seed, marks in seeds.items()} == {
        1: [2.0, 2.5, 3.0],
        2: [2.0, 3.0],
    }
    assert [(marks[0].label, [mark.run.seed for mark in marks]) for marks in places] == [
        ("rate_weight 0.1", [1, 2]),
        ("rate_weight 0.3", [1]),
        ("rate_weight 0.2", [1, 2]),
    ]
    steps = [marks[0].label for marks in by_point(results, "Z", ANNEALED)]
    assert steps == ["step 100", "step 200", "step 300"]
    assert by_seed(results, "E8", FIXED) == {}


HALVING = [(2.0, 8.0), (2.5, 4.0), (3.5, 1.0), (4.0, 0.5)]  # halves in half a bit of NLL, but once


def of(runs: list[RunResult], curve: str, schedule: str = FIXED) -> list[list[Cost]]:
    return costs(sweep(runs), curve, schedule)


def curve_of(run: list[RunResult], schedule: str = FIXED) -> Curve:
    return front(by_seed(sweep(run), "gaussian", schedule)[1])


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


def test_nothing_is_extrapolated() -> None:
    for nll in (1.999, 4.001, math.inf, math.nan):
        assert rate_at(nll, HALVING) is None
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


@given(st.lists(st.tuples(st.floats(1.0, 4.0), st.floats(0.1, 9.0)), min_size=1, max_size=9))
def test_a_front_falls_and_no_point_beats_it(points: list[tuple[float, float]]) -> None:
    curve = curve_of(fixed("gaussian", 1, points))
    assert all(nll0 < nll1 and rate0 > rate1 for (nll0, rate0), (nll1, rate1) in pairwise(curve))
    assert set(curve) <= set(points)
    for nll, rate in points:
        assert any(x <= nll and y <= rate for x, y in curve)


# ---- against the reference ----------------------------------------------------------------------


def test_levels_are_round_and_within_the_reference() -> None:
    assert levels({1: HALVING}) == [2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0]
    assert levels({1: [(2.1, 3.0)], 2: [(7.9, 1.0)]}) == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert levels({}) == []


def test_a_curve_is_held_against_the_reference_where_both_reach_and_nowhere_else() -> None:
    runs = [*fixed("gaussian", 1, HALVING), *fixed("Z", 1, [(1.9, 9.0), (2.6, 5.0)])]
    assert [cost.nll for (cost,) in of(runs, "Z")] == [2.0, 2.25, 2.5]
    runs = [*fixed("gaussian", 1, HALVING), *fixed("Z", 1, [(4.1, 9.0), (4.6, 5.0)])]
    assert of(runs, "Z") == []


def test_each_seed_has_its_own_reference_and_may_reach_less_far() -> None:
    runs = [
        *fixed("gaussian", 1, HALVING),
        *fixed("gaussian", 2, [(n, r + 1) for n, r in HALVING]),
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
        *(run for seed in (1, 2) for run in fixed("gaussian", seed, HALVING)),
        *fixed("Z", 1, [(2.5, 4.5)]),
        *fixed("Z", 2, [(3.5, 1.25)]),
    ]
    (group,) = of(runs, "Z")
    assert [(cost.seed, cost.nll, cost.over) for cost in group] == [(1, 2.5, 0.5), (2, 3.5, 0.25)]


def test_each_schedule_has_its_own_reference() -> None:
    runs = [*fixed("gaussian", 1, HALVING), annealed("Z", 1, HALVING)]
    assert of(runs, "Z", ANNEALED) == []
    runs.append(annealed("gaussian", 1, [(n, r - 0.25) for n, r in HALVING]))
    assert of(runs, "Z", ANNEALED)[0][0].over == pytest.approx(0.25)


def test_a_curve_without_a_code_is_not_compared_whatever_it_is_called() -> None:
    """As that of a bottleneck which another package brings."""
    (run,) = fixed("Z", 1, [(2.5, 0.5)])
    (point,) = run.points
    free = replace(point, evaluation=replace(point.evaluation, bottleneck="another", is_code=False))
    reference = fixed("gaussian", 1, HALVING)
    assert of([*reference, run], "Z") != []
    assert of([*reference, replace(run, points=[free])], "Z") == []


GRID = [(2.0, 8.0), (2.5, 4.0), (3.5, 1.0)]
EXTRA = {1: 0.5, 2: 0.75, 3: 0.1}  # bits per word of each seed of Z over the Gaussian


def shifted(extra: float) -> list[tuple[float, float]]:
    return [(nll, rate + extra) for nll, rate in GRID]


@pytest.fixture
def results() -> Results:
    """Three seeds of Gaussian and Z, one of E8 beyond the Gaussian, two runs without an end."""
    runs = [
        run
        for seed, extra in EXTRA.items()
        for run in [*fixed("gaussian", seed, GRID), *fixed("Z", seed, shifted(extra))]
    ]
    runs += fixed("E8", 1, [(1.5, 9.0), (2.0, 8.25), (4.0, 0.5)])
    runs += [unfinished("Z", "Z_0.9_seed1", "failed"), unfinished("E8", "later", "waiting")]
    return sweep(runs)


def at(results: Results, curve: str, nll: float) -> Comparison:
    (row,) = [row for row in compare(results) if (row.curve, row.nll) == (curve, nll)]
    return row


def test_mean_and_range_over_seeds_at_one_nll(results: Results) -> None:
    for nll, rate in GRID:
        z = at(results, "Z", nll)
        assert z.over is not None and z.over.seeds == pytest.approx(EXTRA)
        assert z.over.mean == pytest.approx(fmean(EXTRA.values()))
        assert z.over.ends == pytest.approx((0.1, 0.75))
        assert z.rate is not None
        assert z.rate.seeds == pytest.approx({seed: rate + extra for seed, extra in EXTRA.items()})


def test_bits_a_dimension_and_share_of_a_lattice(results: Results) -> None:
    z = at(results, "Z", 2.5)
    loss = 0.5 * math.log2(2 * math.pi * math.e * make_lattice("Z").nsm)
    each = {seed: extra * WORDS / SENTENCES / DIM for seed, extra in EXTRA.items()}
    assert z.over_dimension is not None and z.share is not None
    assert z.loss == pytest.approx(loss)
    assert z.over_dimension.seeds == pytest.approx(each)
    assert z.share.seeds == pytest.approx({seed: 100 * e / loss for seed, e in each.items()})


def test_only_a_lattice_of_one_dimension_has_a_loss() -> None:
    reference = fixed("gaussian", 1, GRID)
    ste = at(sweep([*reference, *fixed("ste_scalar M=2", 1, shifted(1.0))]), "ste_scalar M=2", 2.5)
    assert ste.over is not None and (ste.loss, ste.share) == (None, None)
    runs = fixed("Z", 1, shifted(1.0))
    (point,) = runs[0].points
    other = replace(point, evaluation=replace(point.evaluation, dim=2 * DIM))
    z = at(sweep([*reference, replace(runs[0], points=[other]), *runs[1:]]), "Z", 2.5)
    assert z.over is not None and (z.loss, z.share) == (None, None)


def test_a_line_for_each_place_with_the_spread_over_seeds(results: Results) -> None:
    rows = [row for row in point_table(results).rows if row.curve == "Z"]
    assert [row.point for row in rows] == ["rate_weight 0.1", "rate_weight 0.2", "rate_weight 0.3"]
    for row, (nll, rate) in zip(rows, GRID, strict=True):
        assert row.seeds == 3
        assert row.nll.seeds == pytest.approx(dict.fromkeys(EXTRA, nll))
        assert row.rate.seeds == pytest.approx({s: rate + e for s, e in EXTRA.items()})
        assert row.total.mean == pytest.approx(row.nll.mean + row.rate.mean)
        assert row.over.seeds == pytest.approx(EXTRA)
        assert (row.perplexity, row.bleu, row.exact) == (None, None, None)
    e8 = [row.over for row in point_table(results).rows if row.curve == "E8"]
    assert [over is None for over in e8] == [True, False, True]
    assert all(row.over is None for row in point_table(results).rows if row.curve == "gaussian")


def test_a_table_says_what_is_missing_from_it(results: Results) -> None:
    assert "1 of 23 runs failed: Z_0.9_seed1." in text(results)
    assert "1 of 23 runs waiting: later." in text(results)
    assert "1 of 1 runs waiting: a." in text(sweep([unfinished("Z", "a", "waiting")]))
    assert not any("skipped in this table" in note for note in comparison_table(results).notes)
    results = replace(results, runs=[*results.runs, *fixed("gaussian", 4, [(5.0, 0.0)])])
    (note,) = [note for note in comparison_table(results).notes if "skipped in this table" in note]
    assert note.endswith("not finite: 1.")
    (row,) = [r for r in compare(sweep([annealed("E8", 1, GRID)])) if r.curve == "E8"]
    assert (row.nll, row.over) == (None, None)  # without a reference it keeps a line
