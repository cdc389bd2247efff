"""The results of a sweep as a file, all that is drawn from it, and tables as text and JSON."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_results import fixed, sweep, whole_sweep

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import TOKEN
from onmt_lattice.experiments.report.curves import Mark
from onmt_lattice.experiments.report.page import FIGURES, REPORT, RESULTS, TABLE, redraw, write
from onmt_lattice.experiments.report.results import Results


def test_what_is_written_is_read_again_to_eight_digits(tmp_path: Path) -> None:
    results = whole_sweep()
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
    sweep(fixed("Z", 1, [(math.nan, math.inf)])).write(tmp_path / "a.json")
    bits = Results.read(tmp_path / "a.json").runs[0].points[0].evaluation
    assert math.isnan(bits.nll.word) and bits.rate.word == math.inf


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON; expected the results of a sweep"),
        ("[]", "format None: expected the results.json of a sweep, format 2"),
        ('{"format": 3}', "format 3: expected"),
        ('{"format": 2}', "damaged results"),
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


PUBLISHED = sorted((Path(__file__).parent.parent / "docs/results").glob(f"*/{RESULTS}"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_tables_are_drawn_from_published_results(path: Path, tmp_path: Path) -> None:
    results = Results.read(path)
    redraw(path, tmp_path)
    assert (tmp_path / TABLE).read_bytes() == path.with_name(TABLE).read_bytes()
    assert (tmp_path / RESULTS).read_bytes() == path.read_bytes()
    assert len(path.read_text("utf-8").splitlines()) == len(results.runs) + 2  # a line a run


WITHOUT_OPENNMT = """
import sys
from onmt_lattice.cli import main
assert main(["sweep", "-results", sys.argv[1], "-output", sys.argv[2]]) == int(sys.argv[3])
above = ("onmt", "onmt_lattice.opennmt", "onmt_lattice.experiments.sweep.sweep")
print([name for name in sys.modules if name in above])
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is drawn of a sweep."""
    folder = tmp_path_factory.mktemp("drawn")
    write(whole_sweep(), folder)
    assert {path.name for path in folder.iterdir()} == {RESULTS, TABLE, REPORT, *FIGURES}
    return folder


def test_drawn_again_elsewhere_it_is_the_same_without_opennmt(drawn: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WITHOUT_OPENNMT, str(drawn / RESULTS), str(tmp_path), "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for path in drawn.iterdir():
        if path.suffix != ".pdf":  # which holds the time it was made
            assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_costs_per_token_are_drawn_of_the_same_results(drawn: Path, tmp_path: Path) -> None:
    results = whole_sweep()
    write(results, tmp_path, TOKEN)
    assert (tmp_path / RESULTS).read_bytes() == (drawn / RESULTS).read_bytes()
    for name in (TABLE, REPORT, "figure3.svg"):
        assert "bits per word" not in (tmp_path / name).read_text("utf-8"), name
    assert "bits per token" in (tmp_path / TABLE).read_text("utf-8")
    for run, again in zip(results.runs, results.per_token().runs, strict=True):
        for point, token in zip(run.points, again.points, strict=True):
            e, mark = point.evaluation, Mark(again, token)
            assert (mark.nll, mark.rate) == (e.nll.token, e.rate.token)
            assert token.evaluation.total.word == e.total.token
