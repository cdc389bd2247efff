"""The archives of a preparation: found, or fetched; verified; looked through."""

from __future__ import annotations

import re
from pathlib import Path

from onmt_lattice.errors import UserError
from onmt_lattice.files import sha256
from onmt_lattice.prepare.archive import survey
from onmt_lattice.prepare.download import fetch
from onmt_lattice.prepare.manifest import DOWNLOADS, Facts, Manifest, Step, key
from onmt_lattice.prepare.options import Options
from onmt_lattice.prepare.sources import ARCHIVES


class Collection:
    """The archives, from ``options.given`` where they are there, else downloaded.

    The manifest holds what each archive was; one that is deleted and fetched again must be the
    same.

    Raises:
        UserError: if the checksums of ``options`` are of other files.
    """

    def __init__(self, options: Options, manifest: Manifest) -> None:
        self._options, self._manifest = options, manifest
        self._folder = options.output / DOWNLOADS
        self._required = read_sums(options.checksums) if options.checksums else {}
        if options.checksums and not self._required.keys() & ARCHIVES.keys():
            raise UserError(
                f"-checksums {options.checksums} names none of {', '.join(ARCHIVES)}; "
                "is it the right file?"
            )

    def facts(self, name: str, members: list[str]) -> Facts:
        """Return an archive's "sha256", its size in "bytes" and the "lines" of its ``members``.

        An archive that an earlier run has looked through may since have been deleted.

        Raises:
            UserError: if it cannot be had, or is not what it should be.
        """
        path = self._present(name)
        facts = self._manifest.facts(f"archive/{name}")
        if path or not facts or not set(members) <= facts["lines"].keys():
            path = path or self._fetch(name)
            stat = path.stat()
            step = Step(f"archive/{name}", key(members, stat.st_size, stat.st_mtime_ns))
            facts = self._manifest.once(step, lambda: self._examine(name, path, members))
        self._verify(name, facts["sha256"], path)
        return facts

    def path(self, name: str) -> Path:
        """Return where an archive is; one that has been deleted is fetched again.

        Raises:
            UserError: if it cannot be had, or is not what it was.
        """
        if path := self._present(name):
            return path
        path = self._fetch(name)
        digest, was = sha256(path), (self._manifest.facts(f"archive/{name}") or {}).get("sha256")
        if digest != was:
            raise UserError(
                f"{path}: SHA-256 is {digest} where {self._manifest.path} has {was}, for it has "
                "changed at its source; run again with -redo to prepare from it"
            )
        return path

    def _present(self, name: str) -> Path | None:
        places = filter(None, (self._options.given, self._folder))
        return next((place / name for place in places if (place / name).is_file()), None)

    def _fetch(self, name: str) -> Path:
        source = (self._options.mirror or ARCHIVES[name]).rstrip("/")
        fetch(f"{source}/{name}", self._folder / name, self._options.tries)
        return self._folder / name

    def _examine(self, name: str, path: Path, members: list[str]) -> Facts:
        digest = sha256(path)
        self._verify(name, digest, path)
        return {"sha256": digest, "bytes": path.stat().st_size, "lines": survey(path, members)}

    def _verify(self, name: str, digest: str, path: Path | None) -> None:
        """Raise unless ``digest`` is what is required; delete a download that is not."""
        required = self._required.get(name, digest)
        if required == digest:
            return
        cure = "get it from another source"
        if path is not None and path.parent == self._folder:
            path.unlink()
            cure = "it has been deleted, run again to download it anew"
        raise UserError(
            f"{path or name}: SHA-256 is {digest} where -checksums has {required}; {cure}"
        )


def read_sums(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each name in a file that ``sha256sum`` wrote.

    Raises:
        UserError: if it cannot be read, or has lines of another kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"-checksums {path}: cannot be read ({error})") from error
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
