"""Files that were written once decode in every later version, with the models of their time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest
from golden_files import GOLDEN, MODELS, NOTES, RAW, TEXT, points, text
from test_golden_blocks import ENVIRONMENTS, HERE

from onmt_lattice.cli import main

POINTS: dict[str, str] = json.loads(NOTES.read_text())


@pytest.mark.parametrize("model", MODELS)
def test_a_frozen_file_holds_the_points_it_held(model: str) -> None:
    assert points(model) == POINTS[model]


@pytest.mark.parametrize("model", MODELS)
def test_a_frozen_file_decodes_to_its_text(model: str, tmp_path: object) -> None:
    """The network's last digits are each machine's own: a line may now and then be another."""
    output = f"{tmp_path}/text.out"
    words = ["-model", GOLDEN / f"{model}.safetensors", "-input", GOLDEN / f"{model}.olz"]
    assert main(["decompress", *map(str, words), "-output", output]) == 0
    with open(output, encoding="utf-8") as file:
        lines = file.read().splitlines()
    expected = (GOLDEN / f"{model}.out").read_text(encoding="utf-8").splitlines()
    inputs = TEXT.read_text(encoding="utf-8").split("\n")
    assert [not line for line in lines] == [not line.split() for line in inputs]
    assert sum(a == b for a, b in zip(lines, expected, strict=True)) >= 0.9 * len(expected)


@pytest.mark.parametrize("model", MODELS)
def test_a_frozen_lossless_file_gives_every_byte(model: str) -> None:
    assert text(model) == RAW


def test_other_processes_read_the_same() -> None:
    """With another number of threads, and other instructions in torch's and MKL's kernels."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    for environment in ENVIRONMENTS[:1]:
        child = subprocess.run(
            [sys.executable, str(HERE / "golden_files.py")],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        expected = [*POINTS.values(), *[hashlib.sha256(RAW).hexdigest()] * len(MODELS)]
        assert child.stdout.split()[-len(expected) :] == expected, child.stderr
