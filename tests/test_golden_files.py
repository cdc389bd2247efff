"""Files that were written once decode in every later version, with the models of their time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from conftest import run
from golden_files import GOLDEN, MODELS, NOTES, RAW, TEXT, points, text
from test_golden_blocks import ENVIRONMENTS, HERE, python_in

POINTS: dict[str, str] = json.loads(NOTES.read_text())


@pytest.mark.parametrize("model", MODELS)
def test_a_frozen_file_holds_the_points_it_held(model: str) -> None:
    assert points(model) == POINTS[model]


@pytest.mark.parametrize("model", MODELS)
def test_a_frozen_file_decodes_to_its_text(model: str, tmp_path: Path) -> None:
    """The network's last digits are each machine's own: a line may now and then be another."""
    output, name = tmp_path / "text.out", GOLDEN / model
    run("decompress", "-model", f"{name}.safetensors", "-input", f"{name}.olz", "-output", output)
    lines = output.read_text(encoding="utf-8").splitlines()
    expected = (GOLDEN / f"{model}.out").read_text(encoding="utf-8").splitlines()
    inputs = TEXT.read_text(encoding="utf-8").split("\n")
    assert [not line for line in lines] == [not line.split() for line in inputs]
    assert sum(a == b for a, b in zip(lines, expected, strict=True)) >= 0.9 * len(expected)


@pytest.mark.parametrize("model", MODELS)
def test_a_frozen_lossless_file_gives_every_byte(model: str) -> None:
    assert text(model) == RAW


def test_other_processes_read_the_same() -> None:
    """With another number of threads, and other instructions in torch's and MKL's kernels."""
    expected = [*POINTS.values(), *[hashlib.sha256(RAW).hexdigest()] * len(MODELS)]
    said = python_in(ENVIRONMENTS[0], HERE / "golden_files.py").split()
    assert said[-len(expected) :] == expected
