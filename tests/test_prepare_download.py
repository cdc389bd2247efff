from __future__ import annotations

import random
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import miniature
import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.prepare import download
from onmt_lattice.prepare.download import fetch

Get = Callable[..., Path]

CONTENT = random.Random(1).randbytes(100_000)
NAME = "a.tgz"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_BLOCK", 1000)


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def get(tmp_path: Path, waits: list[float]) -> Get:
    """Fetch from a server to ``tmp_path`` without waiting, and return the file."""

    def call(server: miniature.Server, tries: int = 3) -> Path:
        fetch(f"{server.url}/{NAME}", tmp_path / NAME, tries, waits.append)
        return tmp_path / NAME

    return call


def begin(tmp_path: Path, server: miniature.Server, stop: int) -> None:
    """Leave behind what a run killed after ``stop`` bytes would."""
    server.break_after[NAME] = stop
    with pytest.raises(UserError, match="run again to go on from byte"):
        fetch(f"{server.url}/{NAME}", tmp_path / NAME, 1, lambda _: None)


def only_the_file(tmp_path: Path) -> bool:
    return [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_download_appears_whole(get: Get, tmp_path: Path) -> None:
    with miniature.serving({NAME: CONTENT}) as server:
        assert get(server).read_bytes() == CONTENT
    assert server.asked == [(NAME, None)]
    assert only_the_file(tmp_path)


def test_a_broken_connection_is_resumed(get: Get, tmp_path: Path, waits: list[float]) -> None:
    with miniature.serving({NAME: CONTENT}, break_after={NAME: 30_000}) as server:
        assert get(server).read_bytes() == CONTENT
    assert server.asked == [(NAME, None), (NAME, "bytes=30000-")]
    assert waits == [1.0]
    assert only_the_file(tmp_path)


def test_a_later_run_goes_on_where_an_earlier_one_stopped(get: Get, tmp_path: Path) -> None:
    with miniature.serving({NAME: CONTENT}) as server:
        begin(tmp_path, server, 70_000)
        assert not (tmp_path / NAME).exists()
        assert get(server).read_bytes() == CONTENT
    assert server.asked[-1] == (NAME, "bytes=70000-")


def test_a_file_that_has_changed_is_fetched_anew(get: Get, tmp_path: Path) -> None:
    with miniature.serving({NAME: CONTENT}) as server:
        begin(tmp_path, server, 70_000)
        server.files[NAME] = CONTENT[::-1]
        assert get(server).read_bytes() == CONTENT[::-1]


def test_without_validator_another_size_tells_of_a_change(get: Get, tmp_path: Path) -> None:
    with miniature.serving({NAME: CONTENT}, tags=False) as server:
        begin(tmp_path, server, 70_000)
        server.files[NAME] = CONTENT + b"more"
        assert get(server).read_bytes() == CONTENT + b"more"
        assert [asked for _, asked in server.asked] == [None, None]


def test_without_validator_the_same_size_is_resumed(get: Get, tmp_path: Path) -> None:
    with miniature.serving({NAME: CONTENT}, tags=False) as server:
        begin(tmp_path, server, 70_000)
        assert get(server).read_bytes() == CONTENT
        assert [asked for _, asked in server.asked] == [None, "bytes=70000-"]


def test_a_server_that_ignores_ranges_sends_all_again(get: Get, tmp_path: Path) -> None:
    with miniature.serving({NAME: CONTENT}, ranges=False) as server:
        begin(tmp_path, server, 70_000)
        assert get(server).read_bytes() == CONTENT


def test_a_whole_part_only_needs_its_name(get: Get, tmp_path: Path) -> None:
    with miniature.serving({NAME: CONTENT}) as server:
        begin(tmp_path, server, 70_000)
        (part,) = tmp_path.iterdir()
        part.write_bytes(CONTENT)
        assert get(server).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again_later_and_later(get: Get, waits: list[float]) -> None:
    with miniature.serving({NAME: CONTENT}, answers={NAME: [503, 500, 429]}) as server:
        assert get(server, tries=4).read_bytes() == CONTENT
    assert waits == [1.0, 2.0, 4.0]


def test_progress_renews_patience(get: Get, waits: list[float]) -> None:
    with miniature.serving({NAME: CONTENT}) as server:
        server.break_after[NAME] = 10_000
        original = server.tag

        def breaking(name: str) -> str:  # every answer but the last breaks after 10,000 bytes
            if len(server.asked) < 7:
                server.break_after[NAME] = 10_000
            return original(name)

        server.tag = breaking
        assert get(server, tries=2).read_bytes() == CONTENT
    assert len(server.asked) == 8
    assert set(waits) == {1.0}


def test_patience_ends(get: Get) -> None:
    with (
        miniature.serving({NAME: CONTENT}, answers={NAME: [503] * 9}) as server,
        pytest.raises(UserError, match=r"answers 503 .*, 3 times in a row"),
    ):
        get(server)
    assert len(server.asked) == 3


def test_a_part_of_unknown_origin_is_not_gone_on_with(get: Get, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"something else")
    (tmp_path / f"{NAME}.0123456789abcdef.part").write_bytes(b"something else")
    with miniature.serving({NAME: CONTENT}) as server:
        assert get(server).read_bytes() == CONTENT
    assert server.asked == [(NAME, None)]
    assert only_the_file(tmp_path)


def test_a_part_of_another_file_is_left_alone(get: Get, tmp_path: Path) -> None:
    other = tmp_path / "b.tgz.0123456789abcdef.part"
    other.write_bytes(b"the beginning")
    with miniature.serving({NAME: CONTENT}) as server:
        get(server)
    assert other.exists()


def test_a_refusal_is_final(get: Get, waits: list[float]) -> None:
    with (
        miniature.serving({}) as server,
        pytest.raises(UserError, match=r"answers 404 Not Found; .*-mirror URL"),
    ):
        get(server)
    assert waits == []


def test_no_server_is_a_failed_connection(tmp_path: Path, waits: list[float]) -> None:
    with miniature.serving({}) as server:
        url = f"{server.url}/{NAME}"
    with pytest.raises(UserError, match=r"connection failed .*refused"):
        fetch(url, tmp_path / NAME, 2, waits.append)


def test_a_full_disk_is_told_before_downloading(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 99_999))
    with (
        miniature.serving({NAME: CONTENT}) as server,
        pytest.raises(UserError, match=r"has 99,999 bytes free, 100,000 more are needed"),
    ):
        get(server)
