"""Downloads over HTTP that go on where an earlier run stopped, however it stopped.

A download grows in ``NAME.VERSION.part``, where VERSION is a digest of the address and of what the
server says of the file: its size and ETag, or date. A file that has changed has another version,
so that a part never holds bytes of two.
"""

from __future__ import annotations

import errno
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.prepare.manifest import key

_BLOCK = 1 << 20  # bytes
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds; they double from one failure in a row to the next
_TIMEOUT = 60.0  # seconds without an answer after which an attempt has failed
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_HEADERS = {"User-Agent": "onmt_lattice", "Accept-Encoding": "identity"}
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class _Interrupted(Exception):
    """An attempt failed in a way that another may not; the message says how."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait  # seconds that the server asks for


def fetch(
    url: str, target: Path, tries: int = 6, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Download ``url`` to ``target``, which appears only when whole.

    Raises:
        UserError: if the server refuses, if ``tries`` attempts in a row bring not one new byte,
            or if the disk has no room.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while True:
        before = _received(target)
        try:
            return _attempt(url, target)
        except _Interrupted as error:
            failures = 1 if _received(target) > before else failures + 1
            if failures >= tries:
                raise UserError(
                    f"{url}: {error}, {failures} times in a row; run again to go on from byte "
                    f"{_received(target):,}, or give -mirror URL or -from DIR"
                ) from error
            pause = min(max(_PAUSE * 2 ** (failures - 1), error.wait), _LONGEST_PAUSE)
            print(f"{url}: {error}; trying again in {pause:g} s", file=sys.stderr)
            sleep(pause)


def _received(target: Path) -> int:
    return sum(part.stat().st_size for part in _parts(target))


def _parts(target: Path) -> list[Path]:
    return [p for p in target.parent.glob("*.part") if p.name.startswith(f"{target.name}.")]


def _attempt(url: str, target: Path) -> None:
    try:
        part, size = _part(url, target)
        if not part.exists() or part.stat().st_size != size:
            _receive(url, part, size)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        cause = error.args[0] if error.args else error
        reason = getattr(cause, "reason", cause)
        raise _Interrupted(f"connection failed ({reason})") from error
    except OSError as error:
        if error.errno in _DISK:
            raise UserError(f"{target}: {error.strerror}") from error
        raise
    part.replace(target)


def _part(url: str, target: Path) -> tuple[Path, int | None]:
    """Return the file in which ``url``, as it is now, grows, and how many bytes it will have."""
    answer = requests.head(url, headers=_HEADERS, timeout=_TIMEOUT, allow_redirects=True)
    _accept(answer)
    size, tag = (answer.headers.get(name, "") for name in ("Content-Length", "ETag"))
    validator = answer.headers.get("Last-Modified") if tag.startswith("W/") else tag
    part = target.with_name(f"{target.name}.{key(url, size, validator)}.part")
    for other in _parts(target):
        if other != part or not size:  # of unknown size it cannot be gone on with
            other.unlink()
    return part, int(size) if size else None


def _receive(url: str, part: Path, size: int | None) -> None:
    """Get what ``part`` lacks of its ``size`` bytes, or all where the server sends all."""
    start = part.stat().st_size if part.exists() else 0
    headers = _HEADERS | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, timeout=_TIMEOUT, stream=True) as answer:
        _accept(answer)
        start = start if answer.status_code == 206 else 0
        _find_room(part.parent, (size or 0) - start)
        name = part.name.split(".part")[0].rpartition(".")[0]
        bar = tqdm(total=size, initial=start, desc=name, unit="B", unit_scale=True, disable=None)
        with part.open("ab") as stream, bar:
            stream.truncate(start)
            while block := answer.raw.read(_BLOCK, decode_content=False):
                stream.write(block)
                bar.update(len(block))


def _find_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{folder} has {free:,} bytes free, {size:,} more are needed; "
            "make room or choose another -output"
        )


def _accept(answer: requests.Response) -> None:
    """Raise unless the server answers as asked."""
    if answer.ok:
        return
    status = f"the server answers {answer.status_code} {answer.reason}"
    if answer.status_code in _TRANSIENT:
        wait = answer.headers.get("Retry-After", "")
        raise _Interrupted(status, float(wait) if wait.isdigit() else 0.0)
    raise UserError(f"{answer.url}: {status}; check the address, or give -mirror URL or -from DIR")
