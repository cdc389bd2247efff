"""Text as a stream of lines: out of gzipped tar archives, which are not unpacked, and of files."""

from __future__ import annotations

import gzip
import html
import posixpath
import re
import tarfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from onmt_lattice.errors import UserError
from onmt_lattice.text import decoded_lines

_BLOCK = 1 << 20  # bytes
_SEGMENT = re.compile(r"<seg\b[^>]*>(.*?)</seg\s*>", re.IGNORECASE | re.DOTALL)
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-f]+);", re.IGNORECASE)


def count_lines(path: Path, wanted: Collection[str]) -> dict[str, int]:
    """Return the number of lines of each ``wanted`` file of an archive, read to its end."""
    counts = dict.fromkeys(wanted, -1)
    with _archive_errors(path):
        for name, file in _files(path):
            if counts.get(name) == -1:
                counts[name] = sum(1 for _ in file)
    if missing := [name for name in wanted if counts[name] == -1]:
        raise UserError(f"{path} has no file {', '.join(missing)}; is it the right archive?")
    return counts


def read_lines(path: Path, member: str) -> Iterator[bytes]:
    """Yield the lines of the file ``member`` of an archive, without their line feeds.

    Only a line feed ends a line, as for ``wc -l`` and Perl. The carriage return of a Windows line
    end stays, and is white space to everything that reads the line.
    """
    with _archive_errors(path):
        for name, file in _files(path):
            if name == member:
                yield from (line.removesuffix(b"\n") for line in file)
                return


def read_sentences(path: Path, member: str) -> Iterator[str]:
    """Yield the sentences of ``member``: its lines or, if it is an SGM file, its segments.

    A segment may run over several lines; it comes as one line with single spaces.
    """
    lines = decoded_lines(read_lines(path, member), member, option=f"{path}:", longest=None)
    if member.endswith(".sgm"):
        segments = _SEGMENT.findall("\n".join(lines))
        lines = (decode_entities(" ".join(segment.split())) for segment in segments)
    yield from lines


def decode_entities(text: str) -> str:
    """Return ``text`` with the five entities of XML and numeric ones decoded once, no others.

    Moses' ``input-from-sgm.perl`` keeps them, but training text has "&" and not "&amp;".
    """
    return _ENTITY.sub(lambda entity: html.unescape(entity[0].lower()), text)


def in_order(files: Iterable[Path]) -> Iterator[str]:
    """Yield the lines of ``files``, one file after the other; only a line feed ends a line."""
    for path in files:
        with path.open(encoding="utf-8", newline="\n") as stream:
            yield from (line.removesuffix("\n") for line in stream)


def shuffled(files: Iterable[Path], seed: int) -> Iterator[str]:
    """Yield the same lines in an order that ``seed`` alone decides, each order equally likely."""
    lines = list(in_order(files))
    order = np.random.RandomState(seed).permutation(len(lines))  # this generator is frozen
    return (lines[i] for i in order)


def _files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the plain files of an archive under their normal names, in one pass to its end."""
    with gzip.open(path) as stream:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None:
                    yield posixpath.normpath(member.name), file
        while stream.read(_BLOCK):  # the end of the archive, and gzip's checksum
            pass


@contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise UserError(
            f"{path} is not a whole .tgz archive ({error}); delete it and get it again"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
