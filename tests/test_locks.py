"""One process at a time works in a folder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.locks import locked, only_user


def test_a_folder_has_one_holder_at_a_time(tmp_path: Path) -> None:
    lock = locked(tmp_path)
    assert lock is not None and locked(tmp_path) is None
    os.close(lock)
    again = locked(tmp_path)
    assert again is not None
    os.close(again)


def test_a_child_that_inherits_the_lock_keeps_it(tmp_path: Path) -> None:
    lock = locked(tmp_path)
    assert lock is not None
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
    )
    os.close(lock)
    assert locked(tmp_path) is None
    child.communicate(b"\n")
    last = locked(tmp_path)
    assert last is not None
    os.close(last)


@pytest.mark.parametrize("failure", [None, RuntimeError, KeyboardInterrupt])
def test_the_only_user_holds_the_lock_and_lets_go(
    tmp_path: Path, failure: type[BaseException] | None
) -> None:
    folder = tmp_path / "made" / "when missing"
    try:
        with only_user(folder):
            with pytest.raises(UserError, match=f"{folder}: another run is at work there"):
                with only_user(folder):
                    pass
            if failure is not None:
                raise failure
    except (RuntimeError, KeyboardInterrupt):
        pass
    with only_user(folder):
        pass


def test_locks_of_other_names_are_others(tmp_path: Path) -> None:
    with only_user(tmp_path), only_user(tmp_path, ".m.lock", "-save_model m"):
        with pytest.raises(UserError, match=r"^-save_model m: another run"):
            with only_user(tmp_path, ".m.lock", "-save_model m"):
                pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(
        UserError, match=r"cannot be locked \(No locks.*a file system that has locks"
    ):
        locked(tmp_path)
