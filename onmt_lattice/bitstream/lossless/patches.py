"""Bytes of a line given a guess at them: what tokenisation lost, or did to spaces and case.

A line is told as operations on the guess: a byte is copied, skipped, or inserted; a copy behind the
guess's last byte ends the line. All are adaptive, so that what is regular comes to cost little,
such as a carriage return at the end of each line, or capitals at the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator

from onmt_lattice.bitstream.coder import AdaptiveSymbols, Coder

COPY, SKIP, INSERT = range(3)
WINDOW = 24  # bytes, within which a line and its guess are brought together again
KINDS = 5  # of bytes, as they matter to what becomes of the next
ANCHOR = 3  # bytes that have to agree for that

Operation = tuple[int, int]


def operations(line: bytes, guess: bytes) -> Iterator[Operation]:
    """Yield operations with the byte of each, by which ``guess`` becomes ``line``."""
    i = j = 0
    while i < len(line) or j < len(guess):
        if i < len(line) and j < len(guess) and line[i] == guess[j]:
            yield COPY, line[i]
            i, j = i + 1, j + 1
            continue
        skipped, inserted = _apart(line[i:], guess[j:])
        yield from ((SKIP, byte) for byte in guess[j : j + skipped])
        yield from ((INSERT, byte) for byte in line[i : i + inserted])
        i, j = i + inserted, j + skipped


def _apart(line: bytes, guess: bytes) -> tuple[int, int]:
    """Return how many bytes to skip and to insert until the two agree again, one at least."""
    for total in range(1, WINDOW):
        for skipped in range(total + 1):
            inserted = total - skipped
            if skipped > len(guess) or inserted > len(line):
                continue
            ours, theirs = line[inserted : inserted + ANCHOR], guess[skipped : skipped + ANCHOR]
            if ours == theirs:
                return skipped, inserted
    return min(1, len(guess)), min(1, len(line))


class Patcher:
    """Codes lines given guesses at them, and learns how they differ."""

    def __init__(self) -> None:
        self._operations = AdaptiveSymbols(3 * KINDS * KINDS, 3)
        self._inserted = AdaptiveSymbols(2 * 257, 256)

    def code(self, coder: Coder, guess: bytes, line: bytes | None) -> bytes:
        """Code ``line``, if there is one, and return it."""
        told = None if line is None else operations(line, guess)
        found, at, before = bytearray(), 0, COPY
        while True:
            operation, byte = (None, None) if told is None else next(told, (COPY, None))
            upcoming = guess[at] if at < len(guess) else None
            context = (before * KINDS + _kind(found[-1] if found else None)) * KINDS
            chosen = self._operations.code(coder, context + _kind(upcoming), operation)
            if chosen == INSERT:
                beside = guess[at - 1] if at else 256
                context = 2 * beside + (before == SKIP)
                found.append(self._inserted.code(coder, context, byte))
            elif upcoming is None:
                return bytes(found)
            elif chosen == COPY:
                found.append(upcoming)
            at += chosen != INSERT
            before = chosen


def _kind(byte: int | None) -> int:
    """Return what class of bytes ``byte`` belongs to: nothing, space, ASCII letter, other."""
    if byte is None:
        return 0
    if byte in b" \t\r\n":
        return 1
    return 2 if chr(byte).isascii() and chr(byte).isalpha() else 3 if byte < 128 else 4


def differences(line: bytes, guess: bytes) -> int:
    """Return how many operations are no copies."""
    return sum(operation != COPY for operation, _ in operations(line, guess))
