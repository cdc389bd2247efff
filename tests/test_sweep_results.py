"""What a sweep has found, collected from its folder."""

from __future__ import annotations

from pathlib import Path

from onmt_lattice.sweep.manifest import Manifest
from onmt_lattice.sweep.plan import Plan
from onmt_lattice.sweep.results import collect


def test_sentences_are_the_lines_that_are_evaluated(tmp_path: Path) -> None:
    """Other separators break no line, and so each stands beside its own reconstruction."""
    text = tmp_path / "test.en"
    text.write_bytes("a\u2028b\x0cc\rd\n\ne f\n".encode())
    plan = Plan(tmp_path / "sweep.yaml", tmp_path, text, "gaussian", {}, 0, ())
    results = collect(plan, Manifest(tmp_path, plan.runs, {}))
    assert results.inputs == ["a\u2028b\x0cc\rd", "", "e f"]
