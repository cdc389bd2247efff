"""The tables of a sweep: cost over the reference at equal NLL, and the points."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from statistics import fmean

import pytest
from made_up_curves import DIM, SENTENCES, WORDS, annealed, fixed, sweep, unfinished

from onmt_lattice.evaluation.codebook import Codebooks
from onmt_lattice.evaluation.result import Reconstruction
from onmt_lattice.experiments.report.comparison import (
    Comparison,
    compare,
    comparison_table,
    point_table,
    tables,
    text,
)
from onmt_lattice.experiments.report.curves import Spread
from onmt_lattice.experiments.report.results import Results, RunResult
from onmt_lattice.lattices import make_lattice

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
        assert (z.over.lowest, z.over.highest) == pytest.approx((0.1, 0.75))
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


def test_points_without_a_reference_are_told(results: Results) -> None:
    (note,) = [n for n in comparison_table(results).notes if n.startswith("Points where gaussian")]
    assert note.endswith("2 of 3 of E8 (fixed).")
    assert [row.nll for row in compare(results) if row.curve == "E8"] == [
        2.0,
        2.25,
        2.5,
        2.75,
        3.0,
        3.25,
        3.5,
    ]


def test_the_order_is_the_files_and_the_reference_is_not_held_against_itself() -> None:
    runs = [annealed("E8", 1, GRID), *fixed("E8", 1, GRID), *fixed("Z", 1, GRID)]
    found = compare(sweep([*runs, *fixed("gaussian", 1, GRID)]))
    assert list(dict.fromkeys((row.curve, row.reading) for row in found)) == [
        ("Z", "fixed"),
        ("E8", "fixed"),
        ("E8", "annealed"),
    ]
    (last,) = [row for row in found if row.reading == "annealed"]
    assert (last.nll, last.over) == (None, None)  # it keeps a line


def test_a_curve_without_a_point_keeps_its_line() -> None:
    (row,) = compare(sweep([*fixed("gaussian", 1, GRID), unfinished("Z", "a", "failed")]))
    assert (row.curve, row.nll, row.over, row.loss) == ("Z", None, None, None)


def test_single_points_show_the_spread_of_their_nll() -> None:
    runs = [run for seed in (1, 2) for run in fixed("gaussian", seed, GRID)]
    (row,) = compare(sweep([*runs, *fixed("Z", 1, [(2.5, 4.5)]), *fixed("Z", 2, [(3.5, 1.5)])]))
    assert isinstance(row.nll, Spread) and row.nll.seeds == {1: 2.5, 2: 3.5}
    assert row.over is not None and row.over.seeds == {1: 0.5, 2: 0.5}


def test_any_curve_may_be_the_reference(results: Results) -> None:
    turned = at(replace(results, reference="Z"), "gaussian", 2.5)
    assert turned.over is not None
    assert turned.over.seeds == pytest.approx({seed: -extra for seed, extra in EXTRA.items()})


def test_a_line_for_each_place_with_the_spread_over_seeds(results: Results) -> None:
    rows = [row for row in point_table(results).rows if row.curve == "Z"]
    assert [row.place for row in rows] == ["rate_weight 0.1", "rate_weight 0.2", "rate_weight 0.3"]
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


def test_codebooks_and_reconstruction_where_they_are_known() -> None:
    (run,) = fixed("ste_scalar M=2", 1, [(2.0, 5.0)])
    scores = Reconstruction(1, bleu=31.5, chrf=50.0, exact=0.125, signature="none")
    known = replace(
        run.points[0].evaluation, codebooks=Codebooks(2, 1.75, 1.5, 0.0), reconstruction=scores
    )
    run = replace(run, points=[replace(run.points[0], evaluation=known)])
    (row,) = point_table(sweep([run])).rows
    assert [spread.mean for spread in (row.perplexity, row.bleu, row.exact)] == [1.75, 31.5, 12.5]


def test_annealed_points_go_by_their_steps() -> None:
    rows = point_table(sweep([annealed("gaussian", 1, [(9.0, 1.0), *GRID])])).rows
    assert [row.place for row in rows] == ["step 100", "step 200", "step 300", "step 400"]
    assert [row.rate_weight for row in rows] == [0.1, 0.2, 0.3, 0.4]


def test_what_is_missing_is_named_and_units_are_given(results: Results) -> None:
    shown = text(results)
    assert "1 of 23 runs failed: Z_0.9_seed1." in shown
    assert "1 of 23 runs waiting: later." in shown
    first = comparison_table(results).text()
    assert "1 of 23 runs failed" in first and "bits per word" in first
    assert "no confidence interval" in first and "1/2 log2(2 pi e G) bits per dimension" in first
    assert "annealed" not in first  # which there is none of
    assert max(map(len, shown.splitlines())) < 180


def test_names_survive_the_wrapping_of_notes() -> None:
    names = [f"ste_scalar_M=2_{number}-{'x' * 20}_seed1" for number in range(20)]
    runs: list[RunResult] = [unfinished("Z", name, "failed") for name in names]
    shown = text(sweep([*fixed("gaussian", 1, GRID), *runs]))
    assert all(name in shown for name in names)


def test_a_reference_point_that_has_collapsed_is_said(results: Results) -> None:
    assert not any("goes without" in note for note in comparison_table(results).notes)
    results = replace(results, runs=[*results.runs, *fixed("gaussian", 4, [(5.0, 0.0)])])
    (note,) = [note for note in comparison_table(results).notes if "goes without" in note]
    assert note.endswith("NLL: 1.")


def test_json_keeps_every_seed_and_survives_results_of_json(results: Results) -> None:
    found = json.loads(json.dumps([table.json() for table in tables(results)]))
    z = next(row for row in found[0]["rows"] if (row["curve"], row["nll"]) == ("Z", 2.5))
    assert z["over"]["seeds"] == pytest.approx({str(s): e for s, e in EXTRA.items()})
    assert z["over"]["lowest"] <= z["over"]["mean"] <= z["over"]["highest"]
    assert list(dict.fromkeys(row["curve"] for row in found[0]["rows"])) == ["Z", "E8"]
    assert len(found[1]["rows"]) == 9


def test_nothing_yet() -> None:
    assert "1 of 1 runs waiting: a." in text(sweep([unfinished("Z", "a", "waiting")]))
