import json
import random
import shutil
from collections import namedtuple

import miniature
import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.prepare import download
from onmt_lattice.prepare.download import Retries, fetch

CONTENT = random.Random(1).randbytes(100_000)
NAME = "a.tgz"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(download, "_BLOCK", 1000)


@pytest.fixture
def waits():
    return []


@pytest.fixture
def get(tmp_path, waits):
    """Fetch from a server to ``tmp_path`` without waiting, and return the file."""

    def call(server, tries=3):
        fetch(f"{server.url}/{NAME}", tmp_path / NAME, Retries(tries, 1.0, 5.0), waits.append)
        return tmp_path / NAME

    return call


def begin(tmp_path, server, stop):
    """Leave behind what a run killed after ``stop`` bytes would."""
    server.break_after[NAME] = stop
    with pytest.raises(UserError, match="run again to go on from byte"):
        fetch(f"{server.url}/{NAME}", tmp_path / NAME, Retries(tries=1), lambda _: None)


def only_the_file(tmp_path):
    return [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_download_appears_whole(get, tmp_path):
    with miniature.serving({NAME: CONTENT}) as server:
        assert get(server).read_bytes() == CONTENT
    assert server.asked == [(NAME, None)]
    assert only_the_file(tmp_path)


def test_a_broken_connection_is_resumed(get, tmp_path, waits):
    with miniature.serving({NAME: CONTENT}, break_after={NAME: 30_000}) as server:
        assert get(server).read_bytes() == CONTENT
    assert server.asked == [(NAME, None), (NAME, "bytes=30000-")]
    assert waits == [1.0]
    assert only_the_file(tmp_path)


def test_a_later_run_goes_on_where_an_earlier_one_stopped(get, tmp_path):
    with miniature.serving({NAME: CONTENT}) as server:
        begin(tmp_path, server, 70_000)
        assert not (tmp_path / NAME).exists()
        assert get(server).read_bytes() == CONTENT
    assert server.asked[-1] == (NAME, "bytes=70000-")


def test_a_file_that_has_changed_is_fetched_anew(get, tmp_path):
    with miniature.serving({NAME: CONTENT}) as server:
        begin(tmp_path, server, 70_000)
        server.files[NAME] = CONTENT[::-1]
        assert get(server).read_bytes() == CONTENT[::-1]


def test_without_validator_another_size_tells_of_a_change(get, tmp_path):
    with miniature.serving({NAME: CONTENT}, tags=False) as server:
        begin(tmp_path, server, 70_000)
        server.files[NAME] = CONTENT + b"more"
        assert get(server).read_bytes() == CONTENT + b"more"
        assert [asked for _, asked in server.asked] == [None, "bytes=70000-", None]


def test_without_validator_the_same_size_is_resumed(get, tmp_path):
    with miniature.serving({NAME: CONTENT}, tags=False) as server:
        begin(tmp_path, server, 70_000)
        assert get(server).read_bytes() == CONTENT
        assert [asked for _, asked in server.asked] == [None, "bytes=70000-"]


def test_a_server_that_ignores_ranges_sends_all_again(get, tmp_path):
    with miniature.serving({NAME: CONTENT}, ranges=False) as server:
        begin(tmp_path, server, 70_000)
        assert get(server).read_bytes() == CONTENT


def test_a_range_beyond_a_shrunken_file_starts_anew(get, tmp_path):
    with miniature.serving({NAME: CONTENT}, tags=False) as server:
        begin(tmp_path, server, 70_000)
        server.files[NAME] = CONTENT[:50_000]
        assert get(server).read_bytes() == CONTENT[:50_000]
        assert [asked for _, asked in server.asked] == [None, "bytes=70000-", None]


def test_a_whole_part_only_needs_its_name(get, tmp_path):
    with miniature.serving({NAME: CONTENT}) as server:
        begin(tmp_path, server, 70_000)
        (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
        assert get(server).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_whole_part_of_unknown_size_is_recognised_by_416(get, tmp_path):
    with miniature.serving({NAME: CONTENT}) as server:
        notes = {"url": f"{server.url}/{NAME}", "validator": server.tag(NAME), "size": None}
        (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
        (tmp_path / f"{NAME}.part.json").write_text(json.dumps(notes))
        assert get(server).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["bytes=100000-"]


@pytest.mark.parametrize("notes", [None, "{", "{}", '{"url": "elsewhere", "validator": "x"}'])
def test_a_part_of_unknown_origin_is_not_gone_on_with(get, tmp_path, notes):
    (tmp_path / f"{NAME}.part").write_bytes(b"something else")
    if notes:
        (tmp_path / f"{NAME}.part.json").write_text(notes)
    with miniature.serving({NAME: CONTENT}) as server:
        assert get(server).read_bytes() == CONTENT
    assert server.asked == [(NAME, None)]


def test_a_busy_server_is_asked_again_later_and_later(get, waits):
    with miniature.serving({NAME: CONTENT}, answers={NAME: [503, 500, 429]}) as server:
        assert get(server, tries=4).read_bytes() == CONTENT
    assert waits == [1.0, 2.0, 4.0]


def test_progress_renews_patience(get, waits):
    with miniature.serving({NAME: CONTENT}) as server:
        server.break_after[NAME] = 10_000
        original = server.tag

        def breaking(name):  # every answer but the last breaks after 10,000 bytes
            if len(server.asked) < 8:
                server.break_after[NAME] = 10_000
            return original(name)

        server.tag = breaking
        assert get(server, tries=2).read_bytes() == CONTENT
    assert len(server.asked) == 8
    assert set(waits) == {1.0}


def test_patience_ends(get):
    with (
        miniature.serving({NAME: CONTENT}, answers={NAME: [503] * 9}) as server,
        pytest.raises(UserError, match=r"answers 503 .*, 3 times in a row"),
    ):
        get(server)
    assert len(server.asked) == 3


def test_a_refusal_is_final(get):
    with (
        miniature.serving({}) as server,
        pytest.raises(UserError, match=r"answers 404 Not Found; .*--mirror URL"),
    ):
        get(server)
    assert len(server.asked) == 1


def test_no_server_is_a_failed_connection(tmp_path, waits):
    with miniature.serving({}) as server:
        url = f"{server.url}/{NAME}"
    with pytest.raises(UserError, match=r"connection failed .*refused"):
        fetch(url, tmp_path / NAME, Retries(tries=2), waits.append)


def test_a_full_disk_is_told_before_downloading(get, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 99_999))
    with (
        miniature.serving({NAME: CONTENT}) as server,
        pytest.raises(UserError, match=r"has 99,999 bytes free, 100,000 are needed"),
    ):
        get(server)
