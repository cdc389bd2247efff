"""Steps of a preparation: each done once, whatever harms its files; by workers that end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest
from conftest import alive

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare.parallel import map_batches
from onmt_lattice.experiments.prepare.steps import Step, Steps


def test_a_damaged_file_is_made_anew_and_only_what_it_needs(tmp_path: Path) -> None:
    made: list[str] = []

    def step(name: str, *needs: Step) -> Step:
        def work(path: Path) -> dict[str, int]:
            made.append(path.write_text("content") and name)
            return {"lines": 7}

        return Step(name, None, work, (f"{name.replace('/', '-')}.txt",), needs)

    tokens = step("tokens/x")
    model = step("model", tokens)
    for path, redone in (
        (None, ["tokens/x", "model"]),
        (None, []),
        ("tokens-x.txt", []),  # nobody needs it any longer
        ("model.txt", ["tokens/x", "model"]),
        ("model.txt", ["model"]),
    ):
        made.clear()
        if path is not None:
            (tmp_path / path).write_text("CONTENT")
        assert Steps(tmp_path).make(model) == {"lines": 7} and made == redone
    for content in ("{", "[1]", '{"runs": []}'):  # the last as of a sweep
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(UserError, match=r"manifest\.json: .*expected the record .* delete it"):
            Steps(tmp_path)


def die(_: list[int]) -> NoReturn:
    os._exit(9)


def test_a_worker_that_dies_is_an_error_and_not_an_endless_wait() -> None:
    with pytest.raises(UserError, match=r"worker process was killed.* fewer -workers"):
        list(map_batches(die, range(5), 2))


PARENT = """\
import os, signal, time
from onmt_lattice.experiments.prepare.parallel import map_batches

def work(_):
    time.sleep(0.05)
    return [os.getpid()]

print(*set(map_batches(work, range(9000), 2)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_do_not_outlive_their_parent() -> None:
    command = [sys.executable, "-c", PARENT]
    parent = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    assert parent.returncode == -signal.SIGKILL
    workers = [int(process) for process in parent.stdout.split()]
    assert workers
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))
