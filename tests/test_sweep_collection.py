"""What a sweep has found, collected from its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.report.results import FAILED, RUNNING, WAITING
from onmt_lattice.experiments.sweep.collection import collect
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.plan import Plan, read_plan
from onmt_lattice.experiments.sweep.sweep import SweepOptions, begin, draw_now


def test_sentences_are_the_lines_that_are_evaluated(tmp_path: Path) -> None:
    """Other separators break no line, and so each stands beside its own reconstruction."""
    text = tmp_path / "test.en"
    text.write_bytes("a\u2028b\x0cc\rd\n\ne f\n".encode())
    plan = Plan(tmp_path / "sweep.yaml", tmp_path, text, "gaussian", {}, 0, ())
    results = collect(plan, Manifest(tmp_path, plan.runs, {}))
    assert results.inputs == ["a\u2028b\x0cc\rd", "", "e f"]


@pytest.fixture
def options(tmp_path: Path) -> SweepOptions:
    """Return a sweep of one run."""
    text, output = tmp_path / "text", tmp_path / "out"
    text.mkdir()
    for name in ("train.en", "valid.en", "test.en"):
        (text / name).write_text("a b\n", encoding="utf-8")
    shared = {"train_steps": 20}
    sweep = {
        "config": "common.yaml",
        "seeds": [1],
        "fixed": {"rate_weight": [0.1]},
        "curves": {"gaussian": {"bottleneck": "gaussian"}},
    }
    (tmp_path / "common.yaml").write_text(yaml.safe_dump(shared), encoding="utf-8")
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep), encoding="utf-8")
    return SweepOptions(config=tmp_path / "sweep.yaml", output=output, text=text)


def plan_of(options: SweepOptions) -> Plan:
    return read_plan(options.config, options.output, options.text, None)


def test_the_failure_of_a_folder_that_was_removed_is_forgotten(options: SweepOptions) -> None:
    plan = plan_of(options)
    (run,) = plan.runs
    plan.vocabulary.parent.mkdir()
    plan.vocabulary.touch()
    begin(plan).record(run, FAILED, "out of luck")
    assert begin(plan)[run].status == FAILED
    shutil.rmtree(run.folder)
    assert begin(plan)[run].status == WAITING


def test_a_run_under_way_is_drawn_as_such(options: SweepOptions) -> None:
    plan = plan_of(options)
    (run,) = plan.runs
    run.claim()
    Manifest(plan.folder, plan.runs, {}).record(run, RUNNING)
    assert draw_now(options).runs[0].record.status == RUNNING


def test_runs_of_other_options_are_not_drawn_as_the_sweeps_own(
    options: SweepOptions, tmp_path: Path
) -> None:
    (run,) = plan_of(options).runs
    output = options.output
    run.claim()
    assert [found.name for found in draw_now(options).runs] == [run.name]
    left = (output / "results.json").read_bytes()
    (tmp_path / "common.yaml").write_text(yaml.safe_dump({"train_steps": 30}), encoding="utf-8")
    with pytest.raises(UserError, match=r"holds a run of other options \(train_steps"):
        draw_now(options)
    assert (output / "results.json").read_bytes() == left
