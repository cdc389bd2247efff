"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onmt_lattice.files import whole_file


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.pt"


def test_the_file_appears_when_the_body_is_done(target: Path) -> None:
    with whole_file(target) as part:
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == [target.name]


def test_the_part_lies_beside_the_target_hidden_and_with_its_suffix(target: Path) -> None:
    with whole_file(target) as part:
        assert part.parent == target.parent  # so that the rename stays on one file system
        assert part.name.startswith(".") and part.suffix == ".pt"


def test_what_stood_there_is_replaced(target: Path) -> None:
    target.write_text("old and longer")
    with whole_file(str(target)) as part:
        part.write_text("new")
        assert target.read_text() == "old and longer"
    assert target.read_text() == "new"


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


def test_a_rename_that_fails_leaves_no_part(target: Path) -> None:
    target.mkdir()
    (target / "kept").write_text("x")
    with pytest.raises(OSError), whole_file(target) as part:
        part.write_text("new")
    assert os.listdir(target.parent) == [target.name] and (target / "kept").exists()


def test_missing_directories_are_made(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c.json"
    with whole_file(deep) as part:
        part.write_text("x")
    assert deep.read_text() == "x"


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


def test_a_body_may_remove_the_part_itself_and_fail(target: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), whole_file(target) as part:
        part.unlink()
        raise RuntimeError("mine")
    assert os.listdir(target.parent) == []
