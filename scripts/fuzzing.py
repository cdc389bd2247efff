"""What fuzzers share: damage, cases within limits of time and memory, and their outcomes."""

from __future__ import annotations

import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

SECONDS = 5
MEMORY = 512  # MiB
Rng = np.random.Generator


class TooSlowError(Exception):
    """A case that takes longer than it may."""


class Case(NamedTuple):
    """A stream or file to read."""

    row: str  # of the table
    outcome: Callable[[], str]  # of reading it; raises anything if that is wrong
    origin: Callable[[], str]  # what is needed to read it again


def run(cases: Iterable[Case], first: int) -> dict[str, Counter[str]]:
    """Return the counts of outcomes by row; memory may grow in the ``first`` cases.

    Raises:
        SystemExit: at the first that fails, or if memory has grown too much.
    """
    counts: dict[str, Counter[str]] = {}
    at_first = memory()
    for number, case in enumerate(cases):
        try:
            with time_limit(SECONDS):
                outcome = case.outcome()
        except Exception as error:
            raise SystemExit(f"case {number}, {case.row}: {error!r}; {case.origin()}") from error
        counts.setdefault(case.row, Counter())[outcome] += 1
        if number <= first:
            at_first = memory()
    if (grown := memory() - at_first) > MEMORY:
        raise SystemExit(f"{grown:.0f} MiB of memory on top, expected at most {MEMORY}")
    return counts


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


def table(counts: dict[str, Counter[str]]) -> str:
    """Return the counts as a table."""
    columns = sorted({outcome for row in counts.values() for outcome in row})
    width = 2 + max(map(len, columns), default=0)
    rows = [f"{'':<12}" + "".join(f"{column:>{width}}" for column in columns)]
    for name in sorted(counts):
        rows.append(f"{name:<12}" + "".join(f"{counts[name][c]:>{width}}" for c in columns))
    return "\n".join(rows)


# ---- damage, of which each kind may take parts of another stream ---------------------------------


def flip(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Change up to eight bits."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Set some bytes, mostly in the head, to limits of numbers and lengths."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at = rng.integers(min(24, len(data))) if rng.random() < 0.6 else rng.integers(len(data))
        changed[at] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
    return bytes(changed)


def truncate(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Leave out the end."""
    return data[: rng.integers(len(data))]


def extend(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Add bytes at the end, or another stream."""
    return data + (other if rng.random() < 0.3 else rng.bytes(int(rng.integers(1, 40))))


def splice(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Continue as another stream."""
    return data[: rng.integers(len(data) + 1)] + other[rng.integers(len(other)) :]


def transplant(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Replace a part by that of another stream."""
    begin, end = sorted(rng.integers(len(data) + 1, size=2))
    return data[:begin] + other[begin:end] + data[end:]


def leave_out(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Leave out a part."""
    begin, end = sorted(rng.integers(len(data) + 1, size=2))
    return data[:begin] + data[end:]


def repeat(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Write a part twice."""
    begin, end = sorted(rng.integers(len(data) + 1, size=2))
    return data[:end] + data[begin:]


def move(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Let two neighbouring parts change places."""
    a, b, c = sorted(rng.integers(len(data) + 1, size=3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def noise(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Make up all but the first bytes."""
    return data[: rng.integers(12)] + rng.bytes(int(rng.integers(len(data))))


def exchange(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Take another stream."""
    return other


DAMAGES = (
    *(flip, overwrite, truncate, extend, splice, transplant, leave_out, repeat, move, noise),
    exchange,
)
