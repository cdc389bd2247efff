"""Downloads that resume, over HTTP, with the standard library alone.

A download grows in ``NAME.part``; ``NAME.part.json`` beside it holds what the server said of the
file when its first byte was written. A later run asks for the rest only if the file has not
changed since (HTTP/1.1, RFC 9110, sections 13 and 14: If-Range, Range, Content-Range).
"""

from __future__ import annotations

import errno
import http.client
import json
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.files import write_json

_BLOCK = 1 << 20  # bytes
_LONGEST_WAIT = 60.0  # seconds
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class Retries(NamedTuple):
    """How patiently a download is tried again."""

    tries: int = 6
    """Attempts in a row without one new byte before giving up."""
    pause: float = 1.0
    """Seconds before the second attempt; they double from one attempt to the next, to 60."""
    timeout: float = 60.0
    """Seconds without an answer after which an attempt has failed."""


class _Served(NamedTuple):
    """What a server said of a file: enough to know whether a later answer is the same file."""

    url: str
    validator: str | None  # a strong ETag, else Last-Modified
    size: int | None  # bytes


class _Interrupted(Exception):
    """An attempt failed in a way that another may not; the message says how."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def fetch(
    url: str,
    target: Path,
    retries: Retries = Retries(),  # noqa: B008 (immutable)
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Download ``url`` to ``target``, which appears only when whole.

    Goes on where an earlier call stopped, however it stopped. Raises :class:`UserError` when the
    server refuses, when ``retries`` are used up or when the disk has no room.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures = 0
    while True:
        before = _size(part)
        try:
            _attempt(url, part, retries.timeout)
            break
        except _Interrupted as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= retries.tries:
                raise UserError(
                    f"{url}: {error}, {failures} times in a row; run again to go on from byte "
                    f"{_size(part):,}, or give --mirror URL or --from DIR"
                ) from error
            wait = min(max(retries.pause * 2 ** (failures - 1), error.wait), _LONGEST_WAIT)
            print(f"{url}: {error}; trying again in {wait:g} s", file=sys.stderr)
            sleep(wait)
    part.replace(target)
    _notes(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, timeout: float) -> None:
    known = _known(part, url)
    start = _size(part) if known else 0
    if known and start == known.size:  # whole, and stopped just before it got its name
        return
    request = urllib.request.Request(url, headers=_headers(known, start))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            served, start = _place(answer, url, known, start, part)
            _receive(answer, part, start, served.size)
    except urllib.error.HTTPError as error:
        with error:
            _refused(error, url, part, start)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, OSError) as error:
        if isinstance(error, OSError) and (error.filename or error.errno in _DISK):
            raise UserError(f"{error.filename or part}: {error.strerror}") from error
        reason = getattr(error, "reason", None) or error
        raise _Interrupted(f"connection failed ({reason})") from error


def _headers(known: _Served | None, start: int) -> dict[str, str]:
    headers = {"User-Agent": "onmt_lattice", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if known and known.validator:
            headers["If-Range"] = known.validator
    return headers


def _place(
    answer: http.client.HTTPResponse, url: str, known: _Served | None, start: int, part: Path
) -> tuple[_Served, int]:
    """Return what is served and the byte at which the answer's body starts."""
    if answer.status == 206:
        first, size = _content_range(answer.headers.get("Content-Range", ""))
        if known and first == start and size and known.size in (None, size):
            return known._replace(size=size), start
        _forget(part)
        raise _Interrupted("the file has changed on the server")
    length = answer.headers.get("Content-Length", "")
    served = _Served(url, _validator(answer), int(length) if length.isdigit() else None)
    part.write_bytes(b"")
    write_json(_notes(part), served._asdict())
    return served, 0


def _receive(answer: http.client.HTTPResponse, part: Path, start: int, size: int | None) -> None:
    """Append the body to ``part``, which then has ``size`` bytes if that is known."""
    free = shutil.disk_usage(part.parent).free
    if size is not None and size - start > free:
        raise UserError(
            f"{part.parent} has {free:,} bytes free, {size - start:,} are needed for {part.name}; "
            "make room or choose another --out"
        )
    name = part.name.removesuffix(".part")
    bar = tqdm(total=size, initial=start, desc=name, unit="B", unit_scale=True, disable=None)
    with part.open("ab") as stream, bar:
        while block := answer.read(_BLOCK):
            stream.write(block)
            bar.update(len(block))
    if size is not None and _size(part) != size:
        got = _size(part)
        if got > size:
            _forget(part)
        raise _Interrupted(f"the connection broke at byte {got:,} of {size:,}")


def _refused(error: urllib.error.HTTPError, url: str, part: Path, start: int) -> None:
    """Return when the answer means that ``part`` is whole; raise otherwise."""
    if error.code == 416:
        _, size = _content_range(error.headers.get("Content-Range", ""))
        if size == start > 0:
            return
        _forget(part)
        raise _Interrupted("the file has changed on the server")
    if error.code in _TRANSIENT:
        wait = error.headers.get("Retry-After", "")
        seconds = float(wait) if wait.isdigit() else 0.0
        raise _Interrupted(f"the server answers {error.code} {error.reason}", seconds)
    raise UserError(
        f"{url}: the server answers {error.code} {error.reason}; "
        "check the address, or give --mirror URL or --from DIR"
    )


def _content_range(header: str) -> tuple[int | None, int | None]:
    """Return the first byte and the whole size that a Content-Range header names."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", header.strip())
    first, size = found.groups() if found else (None, None)
    return (int(first) if first else None), (int(size) if size else None)


def _validator(answer: http.client.HTTPResponse) -> str | None:
    tag = answer.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return answer.headers.get("Last-Modified")


def _known(part: Path, url: str) -> _Served | None:
    """Return what was noted of the file that ``part`` is the beginning of, if it is ``url``'s.

    A file of which neither validator nor size is known cannot be gone on with.
    """
    try:
        served = _Served(**json.loads(_notes(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    usable = served.url == url and part.exists() and (served.validator or served.size)
    return served if usable else None


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)
