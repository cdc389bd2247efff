"""The run of a fuzzer: cases within limits of time and memory, and how they end."""

from __future__ import annotations

import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

SECONDS = 5
MEMORY = 512  # MiB


class TooSlowError(Exception):
    """A case that takes longer than it may."""


class Case(NamedTuple):
    """Something to feed.

    Attributes:
        kind: the row of the table that it counts in.
        end: feeds it, and returns how it ends; raises anything if it ends as it should not.
        tell: returns what it takes to have the case again.
    """

    kind: str
    end: Callable[[], str]
    tell: Callable[[], str]


def run(cases: Iterable[Case], first: int) -> dict[str, Counter[str]]:
    """Return how many cases of each kind ended in which way.

    Args:
        cases: to run.
        first: how many it takes until the memory that is needed anyway is there.

    Raises:
        SystemExit: at the first that fails, or if memory has grown further.
    """
    ends: dict[str, Counter[str]] = {}
    at_first = memory()
    for number, case in enumerate(cases):
        try:
            with time_limit(SECONDS):
                end = case.end()
        except Exception as error:
            raise SystemExit(f"case {number}, {case.kind}: {error!r}; {case.tell()}") from error
        ends.setdefault(case.kind, Counter())[end] += 1
        if number <= first:
            at_first = memory()
    if (grown := memory() - at_first) > MEMORY:
        raise SystemExit(f"{grown:.0f} MiB of memory on top, expected at most {MEMORY}")
    return ends


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise :class:`TooSlowError` if the body takes longer."""

    def late(*_: object) -> None:
        raise TooSlowError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def memory() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(ends: dict[str, Counter[str]]) -> str:
    """Return the counts as a table."""
    columns = sorted({end for counts in ends.values() for end in counts})
    width = 2 + max(map(len, columns), default=0)
    rows = [f"{'':<12}" + "".join(f"{column:>{width}}" for column in columns)]
    for kind in sorted(ends):
        rows.append(f"{kind:<12}" + "".join(f"{ends[kind][c]:>{width}}" for c in columns))
    return "\n".join(rows)
