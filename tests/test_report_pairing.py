"""Quantized models against the Gaussian models they are made of."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from made_up_results import DIM, made_up_evaluation, run
from made_up_results import sweep as results_of

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Quantized, SentenceCost
from onmt_lattice.experiments.report.comparison import comparison_table, tables, text
from onmt_lattice.experiments.report.pairing import (
    NORMAL_95,
    Paired,
    difference,
    paired,
    paired_table,
)
from onmt_lattice.experiments.report.plotting import curve_styles
from onmt_lattice.experiments.report.results import (
    QUANTIZED,
    SCRATCH,
    TUNED,
    Difference,
    Point,
    Quantizing,
    Results,
)

WEIGHTS = (0.1, 0.2, 0.4)
SLOPE = -1.5  # of log rate against NLL: the Gaussian's rate is 4 exp(SLOPE (NLL - 2))
COSTS = {"Z": 5.0, "E8": 3.0, "conv64": 1.0}  # bits per sentence over the Gaussian
THEORY = 0.95  # of these
CURVES = {
    "gaussian": {"bottleneck": "gaussian"},
    "refitted": {"quantize": "gaussian", "lattice": "none"},
    **{name: {"quantize": "gaussian", "lattice": name} for name in COSTS},
}


def gaussian_nll(weight: float) -> float:
    return 2 + math.log2(weight / 0.1) / 2


def rate_at(nll: float) -> float:
    return 4 * math.exp(SLOPE * (nll - 2))


def quantized(curve: str, lattice: str, weight: float, seed: int, nll: float, rate: float) -> Any:
    """Return a run of a lattice in the Gaussian model, or of ``none``, its fair opponent."""
    cost = COSTS.get(lattice, 0.0)
    said = Quantized("g", lattice, 1500, 15000, DIM, 40.0, cost, cost * THEORY, 0.1)
    bits = made_up_evaluation(
        *(lattice, 400, nll, rate), rate_weight=weight, quantized=said,
        settings={"lattice": lattice} if cost else {}, bottleneck="lattice" if cost else "gaussian",
    )  # fmt: skip
    change, over = 10 * (nll - gaussian_nll(weight)), 10 * (rate - rate_at(gaussian_nll(weight)))
    point = Point(400, bits, over=Difference(over, change, 0.04, 0.01, -0.005) if cost else None)
    made = run(curve, [point], seed, weight)
    return replace(made, quantizing=Quantizing(f"gaussian_{weight}_seed{seed}", lattice, 0))


def sweep(change: float = 0.0) -> Results:
    """Return lattices in Gaussian models of two seeds, whose NLL they change by so many bits.

    The rate is what the Gaussian has at the changed NLL and the lattice's cost, of seed 2 a tenth
    of a bit a word more.
    """
    runs = []
    for seed in (1, 2):
        for weight in WEIGHTS:
            nll = gaussian_nll(weight)
            fair = quantized("refitted", "none", weight, seed, nll, rate_at(nll))
            runs += [run("gaussian", fair.points, seed, weight), fair]
            for name, cost in COSTS.items():
                rate = rate_at(nll + change) + cost / 10 + 0.1 * (seed - 1)
                runs.append(quantized(name, name, weight, seed, nll + change, rate))
    return replace(results_of(runs), curves=CURVES)


def rows(results: Results, curve: str) -> list[Paired]:
    return [row for row in paired(results) if row.curve == curve]


def test_a_lattice_is_held_against_the_same_model_at_every_place() -> None:
    found = paired(sweep())
    assert [(row.curve, row.point) for row in found] == [
        (name, f"rate_weight {weight}") for name in COSTS for weight in WEIGHTS
    ]
    for row in found:
        bits = COSTS[row.curve] / 10
        assert row.kind == QUANTIZED and row.over is not None and row.theory is not None
        assert row.over.seeds == pytest.approx({1: bits, 2: bits + 0.1})
        assert row.over_dimension is not None and row.of_theory is not None
        assert row.over_dimension.seeds[1] == pytest.approx(10 * bits / DIM)
        assert row.theory == pytest.approx(THEORY * 10 * bits / DIM)
        assert row.of_theory.seeds[1] == pytest.approx(100 / THEORY)
        assert row.nll_change is not None and row.nll_change.mean == pytest.approx(0)


@pytest.mark.parametrize("change", [-0.02, 0.0, 0.02])
def test_at_equal_nll_a_change_of_the_nll_costs_nothing(change: float) -> None:
    """Whatever the lattice does along the Gaussian's own curve is not its cost."""
    for name, cost in COSTS.items():
        for row in rows(sweep(change), name):
            assert row.equal is not None and row.over is not None
            assert row.equal.seeds == pytest.approx({1: cost / 10, 2: cost / 10 + 0.1})
            if change:
                assert (row.over.mean < row.equal.mean) == (change > 0)


def test_the_gap_closed_is_what_is_saved_of_zs_cost() -> None:
    assert all(row.closed is None for row in rows(sweep(), "Z"))
    for row in rows(sweep(0.01), "E8"):
        assert row.closed is not None
        assert row.closed.seeds == pytest.approx({1: 40.0, 2: 100 * (1 - 0.4 / 0.6)})
        z = next(r for r in rows(sweep(0.01), "Z") if r.point == row.point)
        assert row.equal is not None and z.equal is not None
        for seed, error in row.closed.errors.items():
            ratio = row.equal.seeds[seed] / z.equal.seeds[seed]
            both = math.hypot(row.equal.errors[seed], ratio * z.equal.errors[seed])
            assert error == pytest.approx(100 * both / z.equal.seeds[seed]) and error > 0
    without = sweep()
    without = replace(without, runs=[r for r in without.runs if r.curve != "Z"])
    assert all(row.closed is None and row.equal is not None for row in rows(without, "E8"))


def test_the_interval_is_that_of_the_paired_difference() -> None:
    (row, *_) = rows(sweep(), "E8")
    assert row.over is not None and row.equal is not None
    assert row.over.half_width == pytest.approx(NORMAL_95 * 0.2 / 10)
    worth = (
        -SLOPE * 4
    )  # bits of rate for one of NLL, at the first point: a chord of the exact curve
    variance = 0.04 + worth**2 * 0.01 + 2 * worth * -0.005
    assert row.equal.half_width == pytest.approx(NORMAL_95 * math.sqrt(variance) / 10)
    assert row.over.text("+.2f") == "+0.35 ±0.04 [+0.30, +0.40]"
    alone = replace(sweep(), runs=[r for r in sweep().runs if r.seed == 1])
    (first, *_) = rows(alone, "E8")
    assert first.over is not None and first.over.text(".2f") == "0.30 ±0.04"


def test_a_difference_is_sentence_by_sentence() -> None:
    fair = [SentenceCost(i, 5, 20.0 + i, 10.0 * i) for i in range(1, 5)]
    costs = [c._replace(rate=c.rate + 2 + c.line % 2, nll=c.nll - c.line % 2) for c in fair]
    found = difference(costs, fair)
    assert (found.rate, found.nll) == pytest.approx((2.5, -0.5))
    assert found.rate_variance == found.nll_variance == pytest.approx(1 / 3 / 4)
    assert found.covariance == pytest.approx(-found.rate_variance)
    with pytest.raises(UserError, match="the same two or more sentences"):
        difference(costs[1:], fair)


def test_without_a_curve_there_is_no_cost_at_equal_nll() -> None:
    one = replace(sweep(), runs=[r for r in sweep().runs if r.values["rate_weight"] == 0.2])
    (row,) = rows(one, "E8")
    assert row.equal is None and row.closed is None and row.over is not None
    unpaired = replace(sweep(), runs=[r for r in sweep().runs if r.curve != "refitted"])
    assert paired(unpaired) == []


def test_the_kinds_of_lattice_curve_are_told_apart() -> None:
    curves = {
        **CURVES,
        "E8, tuned": {"quantize": "gaussian", "lattice": "E8", "more_steps": 5},
        "E8, scratch": {"bottleneck": "lattice", "lattice": "E8"},
    }
    results = replace(sweep(), curves=curves)
    found = {name: results.kind(name) for name in curves}
    assert found["gaussian"] is found["refitted"] is None and found["E8"] == QUANTIZED
    assert (found["E8, tuned"], found["E8, scratch"]) == (TUNED, SCRATCH)
    looks = curve_styles(results)
    e8 = [looks[name] for name in ("E8", "E8, tuned", "E8, scratch")]
    assert len({look.colour for look in e8}) == 1 and looks["Z"].colour != e8[0].colour
    assert len({look.marker for look in e8}) == 3


def test_without_other_kinds_pairs_say_it_all() -> None:
    assert comparison_table(sweep()).rows == []
    curves = {**CURVES, "E8, scratch": {"bottleneck": "lattice", "lattice": "E8"}}
    several = {row.curve for row in comparison_table(replace(sweep(), curves=curves)).rows}
    assert several == {"refitted", *COSTS}


def test_the_table_says_it_in_words() -> None:
    first, *_ = tables(sweep())
    assert first.title.startswith("what a lattice costs in a trained Gaussian model")
    assert len(first.rows) == len(COSTS) * len(WEIGHTS) and "gap closed" in text(sweep())
    plain = replace(sweep(), runs=[r for r in sweep().runs if r.quantizing is None])
    assert next(iter(tables(plain))).title == comparison_table(plain).title
    assert fmean(row.over.mean for row in paired_table(sweep()).rows) == pytest.approx(0.35)
