"""Text out of gzipped tar archives, read as streams: nothing of an archive is written to disk."""

from __future__ import annotations

import gzip
import posixpath
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from onmt_lattice.errors import UserError

_BLOCK = 1 << 20  # bytes


def survey(path: Path, wanted: Iterable[str]) -> dict[str, int]:
    """Return the number of lines of each ``wanted`` member, having read the archive to its end.

    Reading to the end checks gzip's own checksum and length, so that an archive which passes is
    whole.

    Raises:
        UserError: if it is not, if a wanted member is missing, comes twice or is no plain file,
            and if any member's name would leave the folder it is unpacked in.
    """
    lines: dict[str, int] = dict.fromkeys(wanted, -1)
    for name, member, archive in _members(path):
        if name not in lines:
            continue
        if not member.isreg() or lines[name] >= 0:
            what = "comes twice" if member.isreg() else "is a link or device, not a plain file"
            raise UserError(f"{path}: its member {name!r} {what}; get the archive again")
        lines[name] = sum(1 for _ in _text(path, archive, member))
    missing = [name for name, count in lines.items() if count < 0]
    if missing:
        raise UserError(f"{path} holds no {', '.join(missing)}; is it the right archive?")
    return lines


def read_lines(path: Path, wanted: str) -> Iterator[bytes]:
    """Yield the lines of the member called ``wanted``, without their line feeds.

    Only a line feed ends a line, as for ``wc -l`` and Perl: a lone carriage return does not, and
    the one of a Windows line end stays for the caller, to whom it is white space.

    Raises:
        UserError: if the archive is not whole, or has no such member.
    """
    for name, member, archive in _members(path):
        if name == wanted and member.isreg():
            for line in _text(path, archive, member):
                yield line.removesuffix(b"\n")
            return
    raise UserError(f"{path} holds no {wanted}; is it the right archive?")


def _text(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    stream = archive.extractfile(member)
    assert stream is not None, "only regular files are read"
    with _complaints(path):
        yield from stream


def _members(path: Path) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    """Yield every member under its normal name, in the archive's order, in one pass."""
    with _complaints(path), gzip.open(path) as stream:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK) as archive:
            for member in archive:
                yield _normal_name(member.name, path), member, archive
        while stream.read(_BLOCK):  # the rest, and with it gzip's checksum
            pass


def _normal_name(name: str, path: Path) -> str:
    normal = posixpath.normpath(name.replace("\\", "/"))
    if posixpath.isabs(normal) or normal.split("/")[0] == ".." or normal[1:2] == ":":
        raise UserError(
            f"{path}: its member {name!r} would land outside the folder it is unpacked in; "
            "do not trust this archive, get it from its source"
        )
    return normal


@contextmanager
def _complaints(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise UserError(
            f"{path} is no whole .tgz archive ({error}); delete it and get it again"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
