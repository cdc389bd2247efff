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
from onmt_lattice.prepare.parallel import batches, ordered_map


def square(x: int) -> tuple[int, int]:
    time.sleep(0.02 if x % 5 == 0 else 0)
    return x * x, os.getpid()


def die(_: int) -> NoReturn:
    os._exit(9)


def fail(x: int) -> NoReturn:
    raise UserError(f"cannot do {x}")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    results = list(ordered_map(square, range(40), workers))
    assert [value for value, _ in results] == [x * x for x in range(40)]
    processes = {process for _, process in results}
    assert processes == {os.getpid()} if workers == 1 else os.getpid() not in processes


@pytest.mark.parametrize("workers", [1, 2])
def test_of_an_endless_iterable_little_more_is_taken_than_is_used(workers: int) -> None:
    taken = []
    endless = (taken.append(i) or i for i in count())
    assert len(list(islice(ordered_map(square, endless, workers), 10))) == 10
    assert len(taken) < 40


def test_a_worker_that_dies_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(UserError, match="worker process was killed"):
        list(ordered_map(die, range(5), 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_workers_error_is_the_callers(workers: int) -> None:
    with pytest.raises(UserError, match=r"cannot do \d"):
        list(ordered_map(fail, count(), workers))


PARENT = """\
import os, signal, time
from onmt_lattice.prepare.parallel import ordered_map

def work(_: int) -> None:
    time.sleep(0.05)
    return os.getpid()

print(*set(ordered_map(work, range(10), 2)), flush=True)
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


def test_batches_hold_everything_once() -> None:
    assert list(batches(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []
