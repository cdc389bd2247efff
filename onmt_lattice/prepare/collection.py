"""The archives of a preparation: found, or fetched; verified; looked through."""

from __future__ import annotations

import re
from pathlib import Path

from onmt_lattice.errors import UserError
from onmt_lattice.files import sha256, write_lines
from onmt_lattice.prepare.archive import survey
from onmt_lattice.prepare.download import Retries, fetch
from onmt_lattice.prepare.manifest import Facts, Manifest, Step, key
from onmt_lattice.prepare.sources import ARCHIVES

SUMS = "SHA256SUMS"


class Collection:
    """The archives, from ``given`` (a folder) where they are there, else downloaded to ``folder``.

    The SHA-256 of an archive that has been read whole is written to ``folder/SHA256SUMS`` the
    first time and held against it ever after; ``required`` are checksums to hold against it too.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        given: Path | None = None,
        mirror: str | None = None,
        required: dict[str, str] | None = None,
        retries: Retries = Retries(),  # noqa: B008 (immutable)
    ) -> None:
        self._folder, self._manifest, self._given = folder, manifest, given
        self._mirror, self._required, self._retries = mirror, required or {}, retries
        if required is not None and not required.keys() & ARCHIVES.keys():
            raise UserError(
                f"--checksums names none of {', '.join(ARCHIVES)}; is it the right file?"
            )

    def facts(self, name: str, members: list[str]) -> Facts:
        """Return an archive's "sha256", its size in "bytes" and the "lines" of its ``members``.

        An archive that an earlier run has looked through may since have been deleted.
        """
        path = self._present(name)
        known = self._manifest.facts(f"archive/{name}")
        if path is None and known and set(members) <= known["lines"].keys():
            self._verify(name, known["sha256"], None)
            return known
        path = path or self._fetch(name)
        stat = path.stat()
        step = Step(f"archive/{name}", key(members, stat.st_size, stat.st_mtime_ns))
        facts = self._manifest.once(step, lambda: self._examine(name, path, members))
        self._verify(name, facts["sha256"], path)
        return facts

    def path(self, name: str) -> Path:
        """Return where an archive is; one that has been deleted is fetched again and verified."""
        path = self._present(name)
        if path is None:
            path = self._fetch(name)
            self._verify(name, sha256(path), path)
        return path

    def _fetch(self, name: str) -> Path:
        path = self._folder / name
        fetch(f"{(self._mirror or ARCHIVES[name]).rstrip('/')}/{name}", path, self._retries)
        return path

    def _present(self, name: str) -> Path | None:
        places = [self._given, self._folder] if self._given else [self._folder]
        return next((place / name for place in places if (place / name).is_file()), None)

    def _examine(self, name: str, path: Path, members: list[str]) -> Facts:
        digest = sha256(path)
        self._verify(name, digest, path)
        lines = survey(path, members)
        sums = self._folder / SUMS
        recorded = read_sums(sums) if sums.exists() else {}
        entries = sorted((recorded | {name: digest}).items())
        write_lines(sums, (f"{d}  {n}" for n, d in entries))
        return {"sha256": digest, "bytes": path.stat().st_size, "lines": lines}

    def _verify(self, name: str, digest: str, path: Path | None) -> None:
        """Raise unless ``digest`` is what is required and what was recorded."""
        sums = self._folder / SUMS
        recorded = read_sums(sums) if sums.exists() else {}
        for expected, source in ((self._required, "--checksums"), (recorded, str(sums))):
            if expected.get(name, digest) == digest:
                continue
            cure = "get it from another source"
            if source != "--checksums":
                cure += f", or delete its line in {sums} if the archive is meant to have changed"
            if path is not None and path.parent == self._folder:
                path.unlink()
                cure = "it has been deleted, run again to download it anew"
            raise UserError(
                f"{path or name}: SHA-256 is {digest} where {source} has {expected[name]}; {cure}"
            )


def read_sums(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each name in a file that ``sha256sum`` wrote."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read checksums ({error})") from error
    sums = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line.rstrip())
        if not found:
            raise UserError(
                f"{path}, line {number}: {line!r} is no line of sha256sum "
                "(64 hexadecimal digits, two spaces, a file name)"
            )
        sums[Path(found[2]).name] = found[1].lower()
    return sums
