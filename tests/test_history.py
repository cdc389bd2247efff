"""A history holds every number, no step twice, and never half a line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.training.history import History, read_history


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "history.jsonl"


def entry(step: int, event: str = "train", **numbers: float) -> dict[str, Any]:
    return {"event": event, "step": step, "seconds": step / 2, **numbers}


@given(st.lists(st.floats()))
def test_every_number_comes_back(tmp_path_factory: Any, numbers: list[float]) -> None:
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    history = History(path, 0)
    for step, nll in enumerate(numbers):
        history.append(entry(step, nll=nll))
    # Equal, or both are not a number.
    assert [str(e["nll"]) for e in read_history(path)] == [str(float(n)) for n in numbers]


def test_what_is_not_finite_is_written_as_json(path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    History(path, 0).append(entry(1, nll=math.nan, rate=math.inf, total=-math.inf))
    (line,) = path.read_text(encoding="utf-8").splitlines()
    written = json.loads(line, parse_constant=refuse)
    assert [written[key] for key in ("nll", "rate", "total")] == ["nan", "inf", "-inf"]


def test_a_run_that_goes_on_drops_what_comes_after_its_checkpoint(path: Path) -> None:
    history = History(path, 0)
    assert history.seconds == 0
    kept = [entry(2), entry(4), entry(4, "valid")]
    for each in [*kept, entry(6), entry(8), entry(8, "valid")]:
        history.append(each)
    again = History(path, 5)
    assert read_history(path) == kept and again.seconds == 2.0
    again.append(entry(6, nll=0.5))
    assert read_history(path) == [*kept, entry(6, nll=0.5)]
    assert History(path, 0).seconds == 0 and read_history(path) == []  # a run from the start


def test_half_a_line_is_passed_over_and_dropped(path: Path) -> None:
    history = History(path, 0)
    history.append(entry(2))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"event": "train", "st')
    assert read_history(path) == [entry(2)]
    History(path, 2).append(entry(4))
    assert read_history(path) == [entry(2), entry(4)]


@pytest.mark.parametrize(
    "line", ["no JSON", "3", "{}", '{"event": "train"}', '{"event": "end", "step": 1}', ""]
)
def test_anything_else_is_refused_and_left_alone(path: Path, line: str) -> None:
    history = History(path, 0)
    history.append(entry(2))
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    before = path.read_bytes()
    for use in (read_history, lambda path: History(path, 0)):
        with pytest.raises(UserError, match=r"history.jsonl, line 2: no entry of a history"):
            use(path)
    assert path.read_bytes() == before


def test_a_missing_file_is_told(path: Path) -> None:
    with pytest.raises(UserError, match=r"history.jsonl: cannot be read"):
        read_history(path)


def test_a_reader_needs_no_torch_and_no_opennmt() -> None:
    code = "import sys, onmt_lattice.opennmt.training.history as _"
    code += "; print({'onmt', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
