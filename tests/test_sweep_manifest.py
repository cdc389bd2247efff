"""The records of a sweep's runs, kept in one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.report.results import FAILED, FINISHED, FIXED, RUNNING, WAITING
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.run import Run


def runs_in(folder: Path) -> list[Run]:
    """Return three runs that differ in their seed."""
    options = {"train_steps": 20}
    return [
        Run("c", FIXED, {}, seed, folder / f"c_seed{seed}", options, Path("test.en"))
        for seed in (1, 2, 3)
    ]


def test_records_are_those_of_the_manifest_before(tmp_path: Path) -> None:
    one, two, three = runs = runs_in(tmp_path)
    manifest = Manifest(tmp_path, runs, {})
    manifest.record(one, RUNNING)
    manifest.record(two, RUNNING, job="77")
    manifest.record(three, FAILED, "out of luck")
    again = Manifest(tmp_path, runs, {})
    assert again[one].status == RUNNING  # as far as one can tell who looks on
    again.take_over()  # its sweep was killed
    assert again[one].status == WAITING
    assert again[two] == manifest[two] and again[three] == manifest[three]


def test_runs_of_other_seeds_keep_their_records(tmp_path: Path) -> None:
    """A job in a queue would be submitted twice, and a failure forgotten."""
    one, two, three = runs = runs_in(tmp_path)
    whole = Manifest(tmp_path, runs, {})
    whole.record(two, FAILED, "out of luck")
    whole.record(three, RUNNING, job="77")
    part = Manifest(tmp_path, [one], {})
    assert part.failed() == []
    part.record(one, FINISHED)
    again = Manifest(tmp_path, runs, {})
    assert again[one].status == FINISHED
    assert (again[two], again[three]) == (whole[two], whole[three])
    names = [run["name"] for run in json.loads(part.path.read_text(encoding="utf-8"))["runs"]]
    assert sorted(names) == [run.name for run in runs]


def test_failures_of_some_runs_are_forgotten(tmp_path: Path) -> None:
    one, two, three = runs = runs_in(tmp_path)
    manifest = Manifest(tmp_path, runs, {})
    manifest.record(one, FAILED, "out of luck")
    manifest.record(two, FAILED, "out of luck")
    manifest.forget_failures([two, three])
    assert [manifest[run].status for run in runs] == [FAILED, WAITING, WAITING]
    manifest.forget_failures()
    assert Manifest(tmp_path, runs, {}).failed() == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"runs": null}', '{"runs": [{"name": "a"}]}'])
def test_a_damaged_manifest_is_said_to_be(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"manifest.json: damaged .* remove it"):
        Manifest(tmp_path, runs_in(tmp_path), {})
