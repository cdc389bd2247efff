"""The points of a sweep by seed and place, and numbers with a spread over seeds."""

from __future__ import annotations

import math

from made_up_curves import annealed, fixed, sweep, unfinished

from onmt_lattice.experiments.report.curves import Spread, by_place, by_seed, shortfall, trade_off
from onmt_lattice.experiments.report.results import ANNEALED, FIXED

POINTS = [(2.0, 5.0), (3.0, 2.0), (2.5, 3.0)]


def test_a_spread_lies_about_its_mean() -> None:
    spread = Spread.of([(1, 2.0), (1, 4.0), (2, 7.0), (3, None), (4, 1.0)])
    assert spread is not None and spread.seeds == {1: 3.0, 2: 7.0, 4: 1.0}
    assert spread.lowest <= spread.mean <= spread.highest
    assert (spread.lowest, spread.mean, spread.highest) == (1.0, 11 / 3, 7.0)
    assert spread.text("+.1f") == "+3.7 [+1.0, +7.0]"
    assert Spread({5: 2.0}).text(".2f") == "2.00"
    assert spread.json() == {
        "mean": 11 / 3,
        "lowest": 1.0,
        "highest": 7.0,
        "seeds": {"1": 3.0, "2": 7.0, "4": 1.0},
    }
    assert Spread.of([(1, None)]) is None


def test_a_place_is_what_varies_and_a_seed_goes_through_all() -> None:
    results = sweep([*fixed("Z", 1, POINTS), *fixed("Z", 2, POINTS[:2]), annealed("Z", 1, POINTS)])
    seeds, places = by_seed(results, "Z", FIXED), by_place(results, "Z", FIXED)
    assert {seed: [mark.nll for mark in marks] for seed, marks in seeds.items()} == {
        1: [2.0, 2.5, 3.0],
        2: [2.0, 3.0],
    }
    assert [(marks[0].place, [mark.run.seed for mark in marks]) for marks in places] == [
        ("rate_weight 0.1", [1, 2]),
        ("rate_weight 0.3", [1]),
        ("rate_weight 0.2", [1, 2]),
    ]
    steps = [marks[0].place for marks in by_place(results, "Z", ANNEALED)]
    assert steps == ["step 100", "step 200", "step 300"]
    assert by_seed(results, "E8", FIXED) == {}


def test_an_annealed_run_trades_off_from_its_lowest_nll_on() -> None:
    nlls = [9.0, 3.0, 2.0, 2.5, 2.25]
    results = sweep([annealed("Z", 1, [(nll, 1.0) for nll in nlls])])
    marks = by_seed(results, "Z", ANNEALED)[1]
    assert [mark.nll for mark in trade_off(marks, ANNEALED)] == [2.0, 2.5, 2.25]
    assert trade_off(marks, FIXED) == marks


def test_a_diverged_point_has_no_lowest_nll() -> None:
    results = sweep([annealed("Z", 1, [(math.nan, 1.0), (3.0, 1.0), (math.nan, 1.0)])])
    late = trade_off(by_seed(results, "Z", ANNEALED)[1], ANNEALED)
    assert [mark.nll for mark in late] == [3.0, math.inf]


def test_runs_that_are_not_finished_are_named_by_status() -> None:
    runs = fixed("Z", 1, POINTS)
    assert shortfall(sweep(runs)) == []
    runs += [unfinished("Z", "a", "waiting"), unfinished("Z", "b", "failed")]
    assert shortfall(sweep([*runs, unfinished("Z", "c", "waiting")])) == [
        ("failed", "1 of 6 runs failed", ["b"]),
        ("waiting", "2 of 6 runs waiting", ["a", "c"]),
    ]
