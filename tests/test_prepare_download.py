from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import miniature
import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare import archives
from onmt_lattice.experiments.prepare.archives import fetch

Get = Callable[..., bytes]

CONTENT = random.Random(1).randbytes(100_000)
NAME = "a.tgz"
RESUMED = [(NAME, None), (NAME, "bytes=70000-")]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Wait for nothing, and return the seconds that were to be waited."""
    seconds: list[float] = []
    monkeypatch.setattr(archives.time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def get(tmp_path: Path, waits: list[float]) -> Get:
    """Fetch from a server to ``tmp_path``; return the content of the only file there is then."""

    def call(server: miniature.Server, tries: int = 3) -> bytes:
        fetch(f"{server.url}/{NAME}", tmp_path / NAME, tries)
        assert [path.name for path in tmp_path.iterdir()] == [NAME]
        return (tmp_path / NAME).read_bytes()

    return call


@pytest.fixture
def begin(tmp_path: Path, waits: list[float]) -> Callable[[miniature.Server], None]:
    """Leave behind what a run killed after 70,000 bytes would."""

    def call(server: miniature.Server) -> None:
        server.break_after[NAME] = 70_000
        with pytest.raises(UserError, match="run again to resume from byte 70,000"):
            fetch(f"{server.url}/{NAME}", tmp_path / NAME, 1)
        assert not (tmp_path / NAME).exists()

    return call


Begin = Callable[[miniature.Server], None]


def test_a_broken_connection_is_resumed_and_progress_renews_patience(
    get: Get, waits: list[float]
) -> None:
    often = {"break_after": {NAME: 70_000}, "answers": {NAME: [503]}}
    with miniature.serving({NAME: CONTENT}, **often) as server:
        assert get(server, tries=2) == CONTENT
    assert server.asked == [(NAME, None), *RESUMED]
    assert waits == [1, 1]


@pytest.mark.parametrize("how", [{"tags": True}, {"tags": False}, {"ranges": False}], ids=str)
def test_a_later_run_resumes_where_an_earlier_one_stopped(
    get: Get, begin: Begin, how: dict[str, bool]
) -> None:
    """A server that ignores ranges sends all again."""
    with miniature.serving({NAME: CONTENT}, **how) as server:
        begin(server)
        assert get(server) == CONTENT
    assert server.asked == RESUMED


@pytest.mark.parametrize(("tags", "changed"), [(True, CONTENT[::-1]), (False, CONTENT + b"more")])
def test_a_file_that_has_changed_is_fetched_anew(
    get: Get, begin: Begin, tags: bool, changed: bytes
) -> None:
    with miniature.serving({NAME: CONTENT}, tags=tags) as server:
        begin(server)
        server.files[NAME] = changed
        assert get(server) == changed
    assert server.asked == [(NAME, None)] * 2


def test_a_part_of_unknown_origin_is_not_resumed_and_of_another_file_left_alone(
    waits: list[float], tmp_path: Path
) -> None:
    for name in (f"{NAME}.part", f"{NAME}.0123456789abcdef.part", "b.tgz.0123456789abcdef.part"):
        (tmp_path / name).write_bytes(b"something else")
    with miniature.serving({NAME: CONTENT}) as server:
        fetch(f"{server.url}/{NAME}", tmp_path / NAME)
    assert server.asked == [(NAME, None)]
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "b.tgz.0123456789abcdef.part"}
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_later_and_later(get: Get, waits: list[float]) -> None:
    with miniature.serving({NAME: CONTENT}, answers={NAME: [503, 500, 429]}) as server:
        assert get(server, tries=4) == CONTENT
        assert waits == [1, 2, 4]
        server.answers[NAME] = [503] * 9
        with pytest.raises(UserError, match=r"answers 503 .*, 3 times in a row"):
            get(server)


def test_a_refusal_is_final_and_no_server_is_a_failed_connection(
    get: Get, waits: list[float]
) -> None:
    with miniature.serving({}) as server:
        with pytest.raises(UserError, match=r"answers 404 Not Found; .*-mirror URL"):
            get(server)
        assert waits == []
    with pytest.raises(UserError, match=r"connection failed .*refused"):
        get(server, tries=2)
    assert waits == [1]
