"""The record of a preparation: what was done with what, and what came of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from onmt_lattice.environment import versions
from onmt_lattice.errors import UserError
from onmt_lattice.files import read_json, sha256, write_text
from onmt_lattice.locks import only_user

NAME = "manifest.json"
WORK, DOWNLOADS = "work", "downloads"  # the folders beside it
PACKAGES = ("sacremoses", "subword-nmt", "sentencepiece", "numpy")

Facts = dict[str, Any]


def key(*ingredients: object) -> str:
    """Return a digest of all that a step's result depends on."""
    text = json.dumps(ingredients, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Step(NamedTuple):
    """A piece of work that is done once: all that its files depend on is in its key."""

    name: str
    key: str
    files: tuple[Path, ...] = ()


class Manifest:
    """``manifest.json`` of a folder: its steps, each with the key, the files and the facts.

    A step is *current* when it was done under the same key and its files still are what they were
    then. The manifest is written anew after each step, so a step is either done or not. A slash
    in a step's name tells that its files are intermediate.

    Raises:
        UserError: if the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self.done: list[str] = []
        """The steps done since this object was made."""
        self._data: Facts = {"versions": {}, "options": {}, "steps": {}}
        if self.path.exists():
            self._data |= read_json(
                self.path, "the record of a preparation; delete it for a new one"
            )

    def begin(self, steps: Iterable[Step], options: Facts, replace: bool) -> None:
        """Make way for ``steps``: delete what was made under other keys, and note ``options``.

        Raises:
            UserError: if that would delete more than intermediate files, unless the user wants
                them ``replace``d.
        """
        keys = {step.name: step.key for step in steps}
        kept = {s for s, entry in self._steps.items() if entry["key"] == keys.get(s)}
        stale = {s: self._steps[s] for s in self._steps.keys() - kept if "/" not in s}
        if stale and not replace:
            raise UserError(
                f"{self.folder} was prepared otherwise ({self._differences(options)}); "
                "give -redo to replace what is there, or another -output"
            )
        for name in [s for s in self._steps if s not in kept and not s.startswith("archive/")]:
            for file in self._steps.pop(name)["files"]:
                (self.folder / file).unlink(missing_ok=True)
        self._data["options"] = options
        self.save()

    @property
    def _steps(self) -> dict[str, Facts]:
        return self._data["steps"]

    def _differences(self, options: Facts) -> str:
        before = self._data["options"] | self._data["versions"]
        now = options | {package: versions(*PACKAGES)[package] for package in PACKAGES}
        names = [name for name in now if before.get(name) != now[name]]
        changes = [f"{name} was {before.get(name)}, is {now[name]}" for name in names]
        return "; ".join(changes) or "its archives were others"

    def facts(self, step: str) -> Facts | None:
        """Return the facts of a step that was once done, current or not."""
        entry = self._steps.get(step)
        return entry["facts"] if entry else None

    def current(self, step: Step) -> bool:
        """Tell whether a step was done under its key and its files are unharmed."""
        entry = self._steps.get(step.name)
        return (
            entry is not None
            and entry["key"] == step.key
            and all(_intact(self.folder / name, was) for name, was in entry["files"].items())
        )

    def once(self, step: Step, do: Callable[[], Facts]) -> Facts:
        """Return the facts of a step, having done it now unless it is current."""
        if self.current(step):
            return self._steps[step.name]["facts"]
        start = time.monotonic()
        facts = do()
        self._steps[step.name] = {
            "key": step.key,
            "files": {str(f.relative_to(self.folder)): _identity(f) for f in step.files},
            "facts": facts,
            "seconds": round(time.monotonic() - start, 3),
        }
        self._data["versions"] = versions(*PACKAGES)
        self.done.append(step.name)
        self.save()
        return facts

    def save(self) -> None:
        """Write the manifest, whole, if it has changed."""
        write_changed(self.path, json.dumps(self._data, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Keep other runs out of ``folder``, and sweep away what a killed one left half written.

    Raises:
        UserError: if another run is at work there.
    """
    with only_user(folder):
        for place in (folder, folder / WORK, folder / DOWNLOADS):
            for stray in place.glob(".*.part*"):
                stray.unlink()
        yield


def write_changed(path: Path, text: str) -> None:
    """Write a text file whole, unless it holds this ``text`` already."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    write_text(path, text)


def _identity(path: Path) -> Facts:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def _intact(path: Path, was: Facts) -> bool:
    return path.is_file() and path.stat().st_size == was["bytes"] and sha256(path) == was["sha256"]
