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
Damage = Callable[[bytes, bytes, Rng], bytes]  # of a stream, with parts of another


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


# ---- damage -------------------------------------------------------------------------------------


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


def cut(paste: Callable[[bytes, bytes, int, int, int], bytes]) -> Damage:
    """Return the damage that puts parts of a stream and of another together, cut at random."""

    def damage(data: bytes, other: bytes, rng: Rng) -> bytes:
        return paste(data, other, *sorted(rng.integers(len(data) + 1, size=3)))

    return damage


DAMAGES: dict[str, Damage] = {
    "flip": flip,
    "overwrite": overwrite,
    "truncate": cut(lambda data, other, a, b, c: data[:a]),
    "splice": cut(lambda data, other, a, b, c: data[:a] + other[b:]),
    "transplant": cut(lambda data, other, a, b, c: data[:a] + other[a:b] + data[b:]),
    "leave_out": cut(lambda data, other, a, b, c: data[:a] + data[b:]),
    "repeat": cut(lambda data, other, a, b, c: data[:b] + data[a:]),
    "move": cut(lambda data, other, a, b, c: data[:a] + data[b:c] + data[a:b] + data[c:]),
    "append": cut(lambda data, other, a, b, c: data + other),
    "extend": lambda data, other, rng: data + rng.bytes(int(rng.integers(1, 40))),
    "noise": lambda data, other, rng: data[: rng.integers(12)] + rng.bytes(len(data)),
}


def damaged(data: bytes, other: bytes, rng: Rng) -> tuple[str, bytes]:
    """Return the name of a damage, and ``data`` after it."""
    name = list(DAMAGES)[rng.integers(len(DAMAGES))]
    return name, DAMAGES[name](data, other, rng)
