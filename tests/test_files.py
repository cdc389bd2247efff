"""Files appear whole or not at all, and one process at a time works in a folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.errors import UserError
from onmt_lattice.files import read_json, remove_parts, sha256, whole_file, write_json, write_text
from onmt_lattice.locks import locked, only_user


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_the_file_appears_when_the_body_is_done(target: Path) -> None:
    with whole_file(target) as part:
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("exception", [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("before", [None, "old"])
def test_an_interrupted_write_leaves_everything_as_it_was(
    target: Path, exception: type[BaseException], before: str | None
) -> None:
    if before is not None:
        target.write_text(before)
    with pytest.raises(exception), whole_file(target) as part:
        part.write_text("half")
        raise exception
    assert os.listdir(target.parent) == ([] if before is None else [target.name])
    assert before is None or target.read_text() == before


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(target: Path, mask: int) -> None:
    previous = os.umask(mask)
    try:
        with whole_file(target) as part:
            part.write_text("x")
        plain = target.with_name("plain")
        plain.write_text("x")
        assert os.umask(mask) == mask  # left as it was
    finally:
        os.umask(previous)
    assert target.stat().st_mode == plain.stat().st_mode


def test_two_writers_do_not_meet(target: Path) -> None:
    with whole_file(target) as first:
        with whole_file(target) as second:
            assert first != second
            first.write_text("first")
            second.write_text("second")
        assert target.read_text() == "second"
    assert target.read_text() == "first"
    assert os.listdir(target.parent) == [target.name]


def test_a_symbolic_link_stays_and_what_it_names_is_written(target: Path) -> None:
    link = target.parent / "link.safetensors"
    link.symlink_to("deep/" + target.name)
    for text in ("first", "second"):
        write_text(link, text)
        assert link.is_symlink() and (target.parent / "deep" / target.name).read_text() == text


def test_parts_of_killed_processes_are_removed_and_no_others(target: Path) -> None:
    dead = target.parent / f".{target.name}.abcd1234.part.safetensors"
    other = target.parent / ".other.safetensors.abcd1234.part.safetensors"
    for part in (dead, other):
        part.write_text("half")
    with whole_file(target) as alive:
        write_text(target, "done")
        assert alive.exists() and other.exists() and not dead.exists()


def test_parts_of_a_training_s_checkpoints_are_removed_and_no_others(tmp_path: Path) -> None:
    dead = [f"m_step_{step}.safetensors" for step in (5, 1000)] + ["m_best.safetensors"]
    alive = [
        "m_big_step_5.safetensors",
        "m_big_best.safetensors",
        "m.jsonl",
        "am_step_5.safetensors",
    ]
    for name in (*dead, *alive):
        (tmp_path / f".{name}.abcd_123.part{Path(name).suffix}").touch()
    remove_parts(tmp_path / "m")
    left = {path.name.split(".abcd")[0].removeprefix(".") for path in tmp_path.iterdir()}
    assert left == set(alive)


def test_a_hyphen_is_standard_output(capfdbinary: Any) -> None:
    write_text("-", "Λ\n")
    assert capfdbinary.readouterr().out == "Λ\n".encode()


WORDS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner))


@settings(deadline=None)  # the disk takes its time
@given(VALUES, st.sampled_from([None, 1, 2]))
def test_json_comes_back(tmp_path_factory: Any, value: Any, indent: int | None) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, value, indent)
    assert read_json(path, "a value") == value
    assert indent is not None or path.read_text().count("\n") == 1


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_what_is_no_json_is_refused(target: Path, content: bytes | None) -> None:
    if content is not None:
        target.write_bytes(content)
    said = "cannot be read" if content is None else "not JSON; expected a menu"
    with pytest.raises(UserError, match=f"{target}: {said}"):
        read_json(target, "a menu")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 1])
def test_sha256_is_the_standard_one(target: Path, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    target.write_bytes(content)
    assert sha256(target) == hashlib.sha256(content).hexdigest()


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
