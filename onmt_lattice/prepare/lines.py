"""The lines of several files as one sequence, in any order, without holding them in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

_BLOCK = 1 << 24  # bytes


def in_order(files: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of ``files``, one file after the other, without their line feeds."""
    for path in files:
        with path.open(encoding="utf-8", newline="\n") as stream:
            for line in stream:
                yield line.removesuffix("\n")


def shuffled(files: Sequence[Path], seed: int) -> Iterator[str]:
    """Yield the same lines in an order that ``seed`` alone decides.

    Every order is equally likely. Memory: 24 bytes a line; each line is read from its place.
    Every line of the files, the last one too, must end in a line feed.
    """
    ends = [_line_ends(path) for path in files]
    start = np.concatenate([np.concatenate(([0], e[:-1])) if len(e) else e for e in ends])
    length = np.concatenate([np.diff(e, prepend=0) for e in ends])
    first = np.cumsum([0, *(len(e) for e in ends)])  # the number of each file's first line
    order = np.random.RandomState(seed).permutation(len(length))  # this generator is frozen
    with ExitStack() as stack:
        handles = [stack.enter_context(path.open("rb")).fileno() for path in files]
        for i in order:
            handle = handles[int(np.searchsorted(first, i, side="right")) - 1]
            yield os.pread(handle, int(length[i]) - 1, int(start[i])).decode()


def _line_ends(path: Path) -> np.ndarray:
    """Return the offset behind each line feed of a file, in bytes."""
    ends, offset = [np.empty(0, np.int64)], 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            ends.append(np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + offset + 1)
            offset += len(block)
    return np.concatenate(ends)
