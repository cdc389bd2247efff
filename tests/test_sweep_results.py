"""What a sweep has found, collected from its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from onmt_lattice.errors import UserError
from onmt_lattice.sweep.manifest import Manifest
from onmt_lattice.sweep.plan import Plan, read_plan
from onmt_lattice.sweep.results import collect
from onmt_lattice.sweep.sweep import SweepOptions, draw_now


def test_sentences_are_the_lines_that_are_evaluated(tmp_path: Path) -> None:
    """Other separators break no line, and so each stands beside its own reconstruction."""
    text = tmp_path / "test.en"
    text.write_bytes("a\u2028b\x0cc\rd\n\ne f\n".encode())
    plan = Plan(tmp_path / "sweep.yaml", tmp_path, text, "gaussian", {}, 0, ())
    results = collect(plan, Manifest(tmp_path, plan.runs, {}))
    assert results.inputs == ["a\u2028b\x0cc\rd", "", "e f"]


def test_runs_of_other_options_are_not_drawn_as_the_sweeps_own(tmp_path: Path) -> None:
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
    options = SweepOptions(tmp_path / "sweep.yaml", output, text)
    (run,) = read_plan(options.config, output, text, None).runs
    run.claim()
    assert [found.name for found in draw_now(options).runs] == [run.name]
    left = (output / "results.json").read_bytes()
    (tmp_path / "common.yaml").write_text(yaml.safe_dump({"train_steps": 30}), encoding="utf-8")
    with pytest.raises(UserError, match=r"holds a run of other options \(train_steps"):
        draw_now(options)
    assert (output / "results.json").read_bytes() == left
