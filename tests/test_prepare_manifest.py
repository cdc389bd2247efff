"""Steps of a preparation: each done once, and by several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare import parallel
from onmt_lattice.experiments.prepare.manifest import Facts, Manifest, Step, key
from onmt_lattice.experiments.prepare.parallel import map_batches


class Work:
    """Work that writes its files and counts its calls."""

    def __init__(self, failing: bool = False) -> None:
        self.calls, self.failing = 0, failing

    def __call__(self, *files: Path) -> Facts:
        self.calls += 1
        for path in files:
            path.write_text("content")
        if self.failing:
            raise KeyboardInterrupt
        return {"lines": 7}


def step(name: str = "model", depends: Any = None, *needs: Step, work: Any = None) -> Step:
    return Step(name, depends, work or Work(), (f"{name.replace('/', '-')}.txt",), needs)


def test_a_step_is_done_once_even_by_another_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    this = step()
    first = Manifest(tmp_path)
    assert first.make(this) == first.make(this) == {"lines": 7}
    second = Manifest(tmp_path)
    assert second.make(this) == second.facts("model") == {"lines": 7}
    assert this.work.calls == 1
    assert (first.done, second.done) == (["model"], [])
    assert capsys.readouterr().err.startswith("model: 7 lines, 0.0 s, ")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("CONTENT")])
def test_a_damaged_file_is_made_anew_and_only_what_it_needs(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    tokens = step("tokens/x")
    model = step("model", None, tokens)
    Manifest(tmp_path).make(model)
    for path, calls in (("tokens-x.txt", (1, 1)), ("model.txt", (2, 2)), ("model.txt", (2, 3))):
        harm(tmp_path / path)
        Manifest(tmp_path).make(model)
        assert (tokens.work.calls, model.work.calls) == calls
    assert (tmp_path / "model.txt").read_text() == "content"


def test_a_failed_step_is_not_done(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Manifest(tmp_path).make(step(work=Work(failing=True)))
    manifest = Manifest(tmp_path)
    manifest.make(step())
    assert manifest.done == ["model"]


def test_intermediate_files_are_replaced_unasked(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.make(step("tokens/x", 1))
    manifest.begin([step("tokens/x", 2)], {}, replace=False)
    assert not (tmp_path / "tokens-x.txt").exists()


def test_a_step_depends_on_the_steps_that_it_needs() -> None:
    assert step("a", 1).key == step("b", 1).key != step("a", 2).key
    keys = {step("c", 1, *needs).key for needs in ([], [step("a", 1)], [step("a", 2)])}
    assert len(keys) == 3
    assert key(1, "a", [2]) == key(1, "a", (2,))
    assert len({key(1), key("1"), key([1]), key(None), key({"a": 1}), key({"a": 2})}) == 6


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: not JSON; .* delete it"):
        Manifest(tmp_path)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "BATCH", 3)


def squares(batch: list[int]) -> list[tuple[int, int]]:
    time.sleep(0.02 if batch[0] % 5 == 0 else 0)
    return [(x * x, os.getpid()) for x in batch]


def die(_: list[int]) -> NoReturn:
    os._exit(9)


def fail(batch: list[int]) -> NoReturn:
    raise UserError(f"cannot do {batch}")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_little_is_read_ahead(workers: int) -> None:
    results = list(map_batches(squares, range(40), workers))
    assert [value for value, _ in results] == [x * x for x in range(40)]
    processes = {process for _, process in results}
    assert processes == {os.getpid()} if workers == 1 else os.getpid() not in processes
    assert list(map_batches(squares, [], workers)) == []
    taken: list[int] = []
    endless = (taken.append(i) or i for i in count())
    assert len(list(islice(map_batches(squares, endless, workers), 10))) == 10
    assert len(taken) < 600  # some, on a busy machine, but not all that a second makes


@pytest.mark.parametrize("workers", [1, 2])
def test_a_workers_error_is_the_callers(workers: int) -> None:
    with pytest.raises(UserError, match=r"cannot do \[\d"):
        list(map_batches(fail, count(), workers))


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
    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(running, workers))


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
