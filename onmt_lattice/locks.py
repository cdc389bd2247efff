"""Locks, so that one process at a time works on the files of a folder, or on some of them.

The system holds them for a process and lets go when it ends, killed or not: the file of a lock
that is left behind is no obstacle, on a network file system neither.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onmt_lattice.errors import UserError

LOCK = ".lock"


class NoLocks(UserError):
    """A file system that has no locks."""


def locked(folder: Path, name: str = LOCK, place: str = "") -> int | None:
    """Return a file descriptor that holds the lock on ``folder``, None if another process has it.

    The lock lasts until the descriptor is closed here and in every process that inherited it.

    Args:
        folder: which is there.
        name: of the lock's file in it; locks of other names are others.
        place: what errors call it, if not by the folder.

    Raises:
        NoLocks: if the file system has none.
    """
    lock = os.open(folder / name, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError as error:
        os.close(lock)
        raise NoLocks(
            f"{place or folder}: cannot be locked ({error.strerror}), so that two runs might work "
            f"there; choose a place on a file system that has locks"
        ) from error
    return lock


@contextmanager
def only_user(folder: Path, name: str = LOCK, place: str = "") -> Iterator[None]:
    """Hold the lock on ``folder``, which is made when missing; see :func:`locked`.

    Raises:
        UserError: if another process holds it, or the file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = locked(folder, name, place)
    if lock is None:
        raise UserError(
            f"{place or folder}: another run is at work there; wait for it, or choose another place"
        )
    try:
        yield
    finally:
        os.close(lock)
