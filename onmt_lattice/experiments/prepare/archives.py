"""The archives of WMT16: downloaded unless they are there, verified and surveyed.

A download over HTTP resumes where an earlier run stopped, however it stopped. It grows in
``NAME.VERSION.part``, where VERSION is a digest of address, size and ETag, or date. A file that has
changed has another version, so a part never mixes bytes of two versions.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from functools import partial
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare.options import ARCHIVES, TEXTS, TRAINING, Wmt16Options
from onmt_lattice.experiments.prepare.steps import Facts, Step, Steps, key
from onmt_lattice.experiments.prepare.texts import count_lines
from onmt_lattice.files import named_errors, sha256
from onmt_lattice.text import lines_of

_LONGEST_PAUSE = 60  # seconds; pauses double from 1 second, from one failure in a row to the next
_TIMEOUT = 60  # seconds without an answer after which an attempt has failed
_HEADERS = {"User-Agent": "onmt_lattice", "Accept-Encoding": "identity"}
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class Archives:
    """The archives in the folder of -from, or downloaded, from -mirror or their own address.

    The manifest has the facts of each archive; one that is deleted and downloaded again must be the
    same.
    """

    def __init__(self, manifest: Steps, options: Wmt16Options) -> None:
        self._manifest, self._options = manifest, options
        self._downloads = manifest.folder / "downloads"
        self._folders = [folder for folder in (options.archives, self._downloads) if folder]

    def survey(self, required: dict[str, str]) -> dict[str, Facts]:
        """Return each archive's "sha256", its size in "bytes" and the "lines" of its texts.

        An archive that an earlier run has read may have been deleted since.
        """
        facts = {}
        for name in ARCHIVES:
            path, facts[name] = self._find(name), self._manifest.facts(f"archive/{name}")
            path = path if path or facts[name] else self.path(name)
            digest = sha256(path) if path else facts[name]["sha256"]
            if digest != required.get(name, digest):
                raise UserError(
                    f"{path or name}: SHA-256 is {digest} where -checksums has {required[name]}; "
                    "delete it and get it from another source"
                )
            if path:
                step = Step(f"archive/{name}", digest, partial(_survey, name, path, digest))
                facts[name] = self._manifest.make(step)
        return facts

    def path(self, name: str) -> Path:
        """Return the path of an archive, which is downloaded if it is missing."""
        if path := self._find(name):
            return path
        path = self._downloads / name
        address = (self._options.mirror or ARCHIVES[name]).rstrip("/")
        fetch(f"{address}/{name}", path, self._options.tries)
        before = self._manifest.facts(f"archive/{name}").get("sha256")
        if before and before != (digest := sha256(path)):
            raise UserError(
                f"{path}: SHA-256 is {digest} where {self._manifest.path} has {before}: it has "
                "changed at its source; run again with -redo to prepare from it"
            )
        return path

    def _find(self, name: str) -> Path | None:
        return next((f / name for f in self._folders if (f / name).is_file()), None)


def _survey(name: str, path: Path, digest: str) -> Facts:
    corpora = [corpus for corpus in TRAINING.values() if corpus.archive == name]
    members = [member for corpus in corpora for member in corpus.members]
    members += [text.member for text in TEXTS.values() if text.archive == name]
    lines = count_lines(path, members)
    for english, german in (corpus.members for corpus in corpora):
        if lines[english] != lines[german]:
            raise UserError(
                f"{path}: {english} has {lines[english]:,} lines and {german} has "
                f"{lines[german]:,}, but pairs are line by line; get the archive again"
            )
    return {"bytes": path.stat().st_size, "sha256": digest, "lines": lines}


def read_sums(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each archive in a file that ``sha256sum`` wrote."""
    sums = {}
    for number, line in enumerate(lines_of(path, "-checksums"), 1):
        if line.strip() and not line.startswith("#"):
            match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line.rstrip())
            if not match:
                raise UserError(
                    f"-checksums {path}, line {number}: {line!r} is not a line of sha256sum "
                    "(64 hexadecimal digits, two spaces, a file name)"
                )
            sums[Path(match[2]).name] = match[1].lower()
    if not sums.keys() & ARCHIVES.keys():
        raise UserError(
            f"-checksums {path} names none of {', '.join(ARCHIVES)}; is it the right file?"
        )
    return sums


# ---- downloads ----------------------------------------------------------------------------------


def fetch(url: str, target: Path, tries: int = 6) -> None:
    """Download ``url`` to ``target``, which appears only when whole."""
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
