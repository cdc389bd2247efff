from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import count, islice
from typing import NoReturn

import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare import parallel
from onmt_lattice.experiments.prepare.parallel import map_batches


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
