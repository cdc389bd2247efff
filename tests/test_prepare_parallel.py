import os
import signal
import subprocess
import sys
import time
from itertools import count, islice

import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.prepare.parallel import batches, ordered_map


def square(x):
    time.sleep(0.02 if x % 5 == 0 else 0)
    return x * x, os.getpid()


def die(_):
    os._exit(9)


def fail(x):
    raise UserError(f"cannot do {x}")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    with ordered_map(workers) as over:
        results = list(over(square, range(40)))
    assert [value for value, _ in results] == [x * x for x in range(40)]
    processes = {process for _, process in results}
    assert processes == {os.getpid()} if workers == 1 else os.getpid() not in processes


def test_no_more_is_taken_than_there_is_room_for():
    taken = []
    endless = (taken.append(i) or i for i in count())
    with ordered_map(2) as over:
        assert len(list(islice(over(square, endless), 10))) == 10
    assert len(taken) < 20


def test_a_worker_that_dies_is_an_error_and_no_endless_wait():
    with pytest.raises(UserError, match="worker process was killed"), ordered_map(2) as over:
        list(over(die, range(5)))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_workers_error_is_the_callers(workers):
    with pytest.raises(UserError, match="cannot do 0"), ordered_map(workers) as over:
        list(over(fail, count()))


PARENT = """\
import os, signal, time
from onmt_lattice.prepare.parallel import ordered_map

def work(_):
    time.sleep(0.05)
    return os.getpid()

with ordered_map(2) as over:
    print(*set(over(work, range(10))), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_do_not_outlive_their_parent():
    parent = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    workers = [int(process) for process in parent.stdout.split()]
    assert workers
    deadline = time.monotonic() + 10
    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(running, workers))


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_batches_hold_everything_once():
    assert list(batches(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []
