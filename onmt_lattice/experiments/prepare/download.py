"""Downloads over HTTP that resume where an earlier run stopped, however it stopped.

A download grows in ``NAME.VERSION.part``, where VERSION is a digest of address, size and ETag, or
date. A file that has changed has another version, so a part never mixes bytes of two versions.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare.manifest import key
from onmt_lattice.files import named_errors

_LONGEST_PAUSE = 60  # seconds; pauses double from 1 second, from one failure in a row to the next
_TIMEOUT = 60  # seconds without an answer after which an attempt has failed
_HEADERS = {"User-Agent": "onmt_lattice", "Accept-Encoding": "identity"}
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


def fetch(url: str, target: Path, tries: int = 6) -> None:
    """Download ``url`` to ``target``, which appears only when whole.

    Raises:
        UserError: if the server refuses, or ``tries`` attempts in a row bring no new byte.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while True:
        before = _received(target)
        try:
            return _attempt(url, target)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = _reason(url, error)
            failures = 1 if _received(target) > before else failures + 1
            if failures >= tries:
                raise UserError(
                    f"{url}: {reason}, {failures} times in a row; run again to resume from byte "
                    f"{_received(target):,}, or give -mirror URL or -from DIR"
                ) from error
            pause = min(2 ** (failures - 1), _LONGEST_PAUSE)
            print(f"{url}: {reason}; trying again in {pause} s", file=sys.stderr)
            time.sleep(pause)


def _reason(url: str, error: Exception) -> str:
    """Return why an attempt failed; raise if another one would fail too."""
    answer = getattr(error, "response", None)
    if answer is None:
        cause = error.args[0] if error.args else error
        return f"connection failed ({getattr(cause, 'reason', cause)})"
    status = f"the server answers {answer.status_code} {answer.reason}"
    if answer.status_code in _TRANSIENT:
        return status
    raise UserError(f"{url}: {status}; check the address, or give -mirror URL or -from DIR")


def _attempt(url: str, target: Path) -> None:
    answer = requests.head(url, headers=_HEADERS, timeout=_TIMEOUT, allow_redirects=True)
    answer.raise_for_status()
    size, tag = (answer.headers.get(name, "") for name in ("Content-Length", "ETag"))
    validator = answer.headers.get("Last-Modified") if tag.startswith("W/") else tag
    part = target.with_name(f"{target.name}.{key(url, size, validator)}.part")
    for other in _parts(target):
        if other != part or not size:  # a download of unknown size cannot be resumed
            other.unlink()
    part.touch()
    if str(part.stat().st_size) != size:
        _receive(url, part, int(size) if size else None)
    part.replace(target)


def _receive(url: str, part: Path, size: int | None) -> None:
    """Append the missing bytes of ``size`` to ``part``; write all if the server sends all."""
    start = part.stat().st_size
    headers = _HEADERS | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, timeout=_TIMEOUT, stream=True) as answer:
        answer.raise_for_status()
        start = start if answer.status_code == 206 else 0
        bar = {"total": size, "initial": start, "desc": url.rpartition("/")[2], "disable": None}
        with (
            named_errors(part),  # as of a full disk
            part.open("ab") as file,
            tqdm.wrapattr(file, "write", **bar) as stream,
        ):
            file.truncate(start)
            shutil.copyfileobj(answer.raw, stream)


def _received(target: Path) -> int:
    return sum(part.stat().st_size for part in _parts(target))


def _parts(target: Path) -> list[Path]:
    return [p for p in target.parent.glob("*.part") if p.name.startswith(f"{target.name}.")]
