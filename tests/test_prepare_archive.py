from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import miniature
import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.prepare.archive import read_lines, survey

Members = Mapping[str, bytes | tarfile.TarInfo]
Archive = Callable[[Members], Path]

TEXT = b"one\ntwo \r\nth\rree\n\nlast, without a line feed"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    def write(members: Members) -> Path:
        path = tmp_path / "a.tgz"
        path.write_bytes(miniature.tgz(members))
        return path

    return write


def test_lines_end_at_line_feeds_only(archive: Archive) -> None:
    path = archive({"other": b"x\n", "./a/text": TEXT})
    lines = [b"one", b"two \r", b"th\rree", b"", b"last, without a line feed"]
    assert list(read_lines(path, "a/text")) == lines
    assert survey(path, ["a/text", "other"]) == {"a/text": 5, "other": 1}


def test_two_members_can_be_read_side_by_side(archive: Archive) -> None:
    path = archive({"en": b"a\nb\n", "de": b"c\nd\n"})
    pairs = zip(read_lines(path, "en"), read_lines(path, "de"), strict=True)
    assert list(pairs) == [(b"a", b"c"), (b"b", b"d")]


def test_nothing_is_written_beside_an_archive(archive: Archive, tmp_path: Path) -> None:
    path = archive({"text": TEXT})
    survey(path, ["text"])
    list(read_lines(path, "text"))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "..\\evil", "\\evil"]
)
def test_a_name_that_leaves_the_folder_is_refused(archive: Archive, name: str) -> None:
    path = archive({"text": TEXT, name: b"evil"})
    with pytest.raises(UserError, match="would land outside"):
        survey(path, ["text"])


def test_a_link_or_device_is_no_text(archive: Archive) -> None:
    device = tarfile.TarInfo("text")
    device.type = tarfile.CHRTYPE
    for header in (miniature.link("text", "/etc/passwd"), device):
        path = archive({"text": header})
        with pytest.raises(UserError, match="link or device"):
            survey(path, ["text"])
        with pytest.raises(UserError, match="holds no text"):
            list(read_lines(path, "text"))


def test_links_beside_the_text_are_never_followed(archive: Archive) -> None:
    path = archive({"link": miniature.link("link", "/etc/passwd"), "text": TEXT})
    assert survey(path, ["text"]) == {"text": 5}


def test_a_text_that_comes_twice_is_refused(archive: Archive) -> None:
    path = archive({"text": TEXT, "./text": TEXT})
    with pytest.raises(UserError, match="comes twice"):
        survey(path, ["text"])


def test_a_missing_text_is_named(archive: Archive) -> None:
    with pytest.raises(UserError, match="holds no a/text"):
        survey(archive({"text": TEXT}), ["a/text"])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_archive_is_refused(archive: Archive, share: float) -> None:
    path = archive({"text": b"".join(b"%d\n" % (i * i) for i in range(20_000))})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"no whole \.tgz"):
        survey(path, ["text"])
    if share < 0.9:  # the very end is gzip's checksum, which the text comes before
        with pytest.raises(UserError, match=r"no whole \.tgz"):
            list(read_lines(path, "text"))


def test_a_wrong_gzip_checksum_is_noticed(archive: Archive) -> None:
    path = archive({"text": TEXT})
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="CRC"):
        survey(path, ["text"])


@pytest.mark.parametrize("content", [b"<html>not found</html>", gzip.compress(b"no tar at all")])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"no whole \.tgz"):
        survey(path, ["text"])


def test_an_archive_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        survey(tmp_path / "a.tgz", ["text"])
