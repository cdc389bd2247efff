"""A map over worker processes that keeps the order of its items, by joblib."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from onmt_lattice.errors import UserError

BATCH = 1000  # items that a worker gets at a time

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_batches(
    function: Callable[[list[Item]], list[Result]], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield the results of ``function`` on batches of ``items``, in order, by ``workers``.

    A single worker is this process. Few batches are read ahead, so ``items`` may be endless.
    """
    source = iter(items)
    batches = iter(lambda: list(islice(source, BATCH)), [])
    backend = parallel_config("loky", initializer=_follow, initargs=(os.getpid(),))
    with backend, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ tasks", UserWarning)  # unfinished at an interrupt
        pool = Parallel(workers, return_as="generator", batch_size=1, pre_dispatch="3 * n_jobs")
        try:
            yield from chain.from_iterable(pool(delayed(function)(batch) for batch in batches))
        except TerminatedWorkerError as error:
            raise UserError(
                "a worker process was killed, most likely for lack of memory; "
                "run again with fewer -workers"
            ) from error


def _follow(parent: int) -> None:
    """End this process soon after its ``parent``, even if that is killed outright."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
