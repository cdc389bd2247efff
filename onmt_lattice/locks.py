"""A lock on a folder, so that one process at a time works in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onmt_lattice.errors import UserError

LOCK = ".lock"


def locked(folder: Path) -> int | None:
    """Return a file descriptor that holds the lock on ``folder``, None if another process has it.

    The lock lasts until the descriptor is closed here and in every process that inherited it.

    Raises:
        UserError: if the file system has no locks.
    """
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError as error:
        os.close(lock)
        raise UserError(
            f"{folder}: cannot be locked ({error.strerror}), so that two runs might work on it; "
            f"name another -output, on a file system that has locks"
        ) from error
    return lock


@contextmanager
def only_user(folder: Path) -> Iterator[None]:
    """Hold the lock on ``folder``, which is made when missing.

    Raises:
        UserError: if another process holds it, or the file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = locked(folder)
    if lock is None:
        raise UserError(
            f"{folder}: another run is at work there; wait for it, or name another output"
        )
    try:
        yield
    finally:
        os.close(lock)
