"""The results of a sweep as a file."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from made_up_curves import fixed
from made_up_curves import sweep as curves
from made_up_results import sweep

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.report.results import Results


def test_what_is_written_is_read_again_to_eight_digits(tmp_path: Path) -> None:
    results = sweep()
    results.write(tmp_path / "a.json")
    read = Results.read(tmp_path / "a.json")
    for run, found in zip(results.runs, read.runs, strict=True):
        assert dataclasses.replace(run, points=[], history=[]) == dataclasses.replace(
            found, points=[], history=[]
        )
        for point, again in zip(run.points, found.points, strict=True):
            assert again.decoded == point.decoded
            assert again.evaluation.nll.word == pytest.approx(point.evaluation.nll.word, rel=1e-7)
    read.write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read.inputs == results.inputs and read.runs[0].dim == 24


def test_a_diverged_point_survives(tmp_path: Path) -> None:
    curves(fixed("Z", 1, [(math.nan, math.inf)])).write(tmp_path / "a.json")
    bits = Results.read(tmp_path / "a.json").runs[0].points[0].evaluation
    assert math.isnan(bits.nll.word) and bits.rate.word == math.inf


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON; expected the results of a sweep"),
        ("[]", "format None: expected the results.json of a sweep, format 2"),
        ('{"format": 3}', "format 3: expected"),
        ('{"format": 2}', "damaged results"),
        ('{"format": 1}', "format 1: expected"),
        ('{"format": 2, "runs": [{"points": [{"evaluation": 3}]}]}', "damaged results"),
    ],
)
def test_what_is_no_results_is_said_so(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.json: ") as error:
        Results.read(tmp_path / "a.json")
    assert message in str(error.value)


def test_sweeps_of_two_seeds_are_joined_and_one_with_itself_is_as_it_was() -> None:
    from merge_results import merged

    wide = Path(__file__).parent.parent / "docs" / "results" / "wide" / "results.json"
    both = merged([wide, wide])
    assert both.runs == Results.read(wide).runs
    assert {run.seed for run in both.runs} == {1, 2}
