"""Locks, so that one process at a time writes to a folder, or to some files in it.

The system releases the lock of a process that ends, killed or not. The lock file stays and blocks
nobody, also on a network file system.
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
    """The file system has no locks."""


def locked(folder: Path, name: str = LOCK, label: str = "") -> int | None:
    """Lock ``folder``; return a file descriptor, or None if another process has locked it.

    The lock lasts until the descriptor is closed here and in every process that inherited it.

    Args:
        folder: an existing one.
        name: of the lock file; locks with different names do not exclude each other.
        label: what errors call the folder.

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
            f"{label or folder}: cannot be locked ({error.strerror}), so two runs might write "
            f"there at once; choose a folder on a file system that has locks"
        ) from error
    return lock


@contextmanager
def only_user(folder: Path, name: str = LOCK, label: str = "") -> Iterator[None]:
    """Lock ``folder``, created if missing, while the body runs; see :func:`locked`."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = locked(folder, name, label)
    if lock is None:
        raise UserError(
            f"{label or folder}: another run is at work there; wait for it, or choose another place"
        )
    try:
        yield
    finally:
        os.close(lock)
