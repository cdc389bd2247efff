"""The archives of WMT16: given or downloaded, verified and surveyed."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare.download import fetch
from onmt_lattice.experiments.prepare.manifest import Facts, Manifest, Step
from onmt_lattice.experiments.prepare.options import ARCHIVES, TEXTS, TRAINING, Wmt16Options
from onmt_lattice.experiments.prepare.texts import count_lines
from onmt_lattice.files import sha256
from onmt_lattice.text import lines_of


class Archives:
    """The archives in the folder of -from, or downloaded, from -mirror or their own address.

    The manifest has the facts of each archive; one that is deleted and downloaded again must be the
    same.
    """

    def __init__(self, manifest: Manifest, options: Wmt16Options) -> None:
        self._manifest, self._options = manifest, options
        self._downloads = manifest.folder / "downloads"
        self._folders = [folder for folder in (options.given, self._downloads) if folder]

    def survey(self, required: dict[str, str]) -> dict[str, Facts]:
        """Return each archive's "sha256", its size in "bytes" and the "lines" of its texts.

        An archive that an earlier run has read may have been deleted since.

        Raises:
            UserError: if an archive is not available or damaged, lacks a text, has two sides of
                different length, or not the ``required`` SHA-256.
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
        """Return the path of an archive, which is downloaded if it is missing.

        Raises:
            UserError: if it cannot be downloaded, or has changed since it was first read.
        """
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
    """Return the SHA-256 of each archive in a file that ``sha256sum`` wrote.

    Raises:
        UserError: if it cannot be read, has other lines, or none of an archive.
    """
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
