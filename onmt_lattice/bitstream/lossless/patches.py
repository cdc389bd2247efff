"""Bytes of a line given a guess at them: corrections of what tokenisation lost or changed.

A line is coded as operations on the guess: a byte is copied, skipped, or inserted; a copy after the
guess's last byte ends the line. The models of operations are adaptive, so that regular differences
soon cost little, such as a carriage return at the end of each line, or a capital at its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator

from onmt_lattice.bitstream.coder import AdaptiveSymbols, Coder

COPY, SKIP, INSERT = range(3)
WINDOW = 24  # bytes within which a line and its guess are aligned again
BYTE_CLASSES = 5  # contexts of an operation
ANCHOR = 3  # bytes that have to agree for an alignment

Operation = tuple[int, int]


def operations(line: bytes, guess: bytes) -> Iterator[Operation]:
    """Yield the operations that turn ``guess`` into ``line``, each with its byte."""
    i = j = 0
    while i < len(line) or j < len(guess):
        if i < len(line) and j < len(guess) and line[i] == guess[j]:
            yield COPY, line[i]
            i, j = i + 1, j + 1
            continue
        skipped, inserted = _realign(line[i:], guess[j:])
        yield from ((SKIP, byte) for byte in guess[j : j + skipped])
        yield from ((INSERT, byte) for byte in line[i : i + inserted])
        i, j = i + inserted, j + skipped


def _realign(line: bytes, guess: bytes) -> tuple[int, int]:
    """Return how many bytes to skip and to insert, at least one, until the two agree again."""
    for total in range(1, WINDOW):
        for skipped in range(total + 1):
            inserted = total - skipped
            if skipped > len(guess) or inserted > len(line):
                continue
            if line[inserted : inserted + ANCHOR] == guess[skipped : skipped + ANCHOR]:
                return skipped, inserted
    return min(1, len(guess)), min(1, len(line))


class Patcher:
    """Codes lines given guesses at them, and learns how they differ."""

    def __init__(self) -> None:
        self._operations = AdaptiveSymbols(3 * BYTE_CLASSES * BYTE_CLASSES, 3)
        self._inserted = AdaptiveSymbols(2 * 257, 256)

    def code(self, coder: Coder, guess: bytes, line: bytes | None) -> bytes:
        """Code ``line``, None to read it, and return it."""
        remaining = None if line is None else operations(line, guess)
        coded, position, previous = bytearray(), 0, COPY
        while True:
            value, byte = (None, None) if remaining is None else next(remaining, (COPY, None))
            next_byte = guess[position] if position < len(guess) else None
            classes = _byte_class(coded[-1] if coded else None), _byte_class(next_byte)
            context = (previous * BYTE_CLASSES + classes[0]) * BYTE_CLASSES + classes[1]
            operation = self._operations.code(coder, context, value)
            if operation == INSERT:
                preceding = guess[position - 1] if position else 256
                context = 2 * preceding + (previous == SKIP)
                coded.append(self._inserted.code(coder, context, byte))
            elif next_byte is None:
                return bytes(coded)
            elif operation == COPY:
                coded.append(next_byte)
            position += operation != INSERT
            previous = operation


def _byte_class(byte: int | None) -> int:
    """Return the class of ``byte``: none, space, ASCII letter, other ASCII, other."""
    if byte is None:
        return 0
    if byte in b" \t\r\n":
        return 1
    return 2 if chr(byte).isascii() and chr(byte).isalpha() else 3 if byte < 128 else 4


def differences(line: bytes, guess: bytes) -> int:
    """Return the number of operations that are not copies."""
    return sum(operation != COPY for operation, _ in operations(line, guess))
