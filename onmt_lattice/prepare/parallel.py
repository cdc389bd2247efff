"""A map over all cores that keeps the order of its items, by joblib."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from onmt_lattice.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield ``items`` in lists of ``size``, the last one shorter."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield ``function`` of each item, in order, from ``workers`` processes, or this one if 1.

    A few items a worker are taken ahead, so that an endless iterable of large items is welcome.

    Raises:
        UserError: if a worker dies; what ``function`` raises besides.
    """
    backend = parallel_config("loky", initializer=_follow, initargs=(os.getpid(),))
    with backend, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ tasks", UserWarning)  # left when interrupted
        pool = Parallel(workers, return_as="generator", batch_size=1, pre_dispatch="3 * n_jobs")
        try:
            yield from pool(delayed(function)(item) for item in items)
        except TerminatedWorkerError as error:
            raise UserError(
                "a worker process was killed, most likely for want of memory; "
                "run again with fewer -workers"
            ) from error


def _follow(parent: int) -> None:
    """Let this process end soon after its ``parent``, even if that is killed outright."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
