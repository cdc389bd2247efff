"""The record of a preparation: its steps, what they depended on, and their facts."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.environment import versions
from onmt_lattice.files import read_json, sha256, write_text

PACKAGES = ("sacremoses", "subword-nmt", "sentencepiece", "numpy")

Facts = dict[str, Any]


def key(*ingredients: object) -> str:
    """Return a digest of everything that a step's result depends on."""
    text = json.dumps(ingredients, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Step(NamedTuple):
    """A piece of work that is done once, as a target of ``make`` is."""

    name: str  # with a slash if its files are intermediate
    depends: Any  # what its files depend on, besides the steps that it needs
    work: Callable[..., Facts]  # writes files at these paths; the first of its counts is printed
    files: tuple[str, ...] = ()  # in the folder of the manifest
    needs: tuple[Step, ...] = ()  # the steps whose files it reads

    @property
    def key(self) -> str:
        """A digest of everything that the files depend on."""
        return key(self.depends, *(step.key for step in self.needs))


class Steps:
    """``manifest.json`` of a folder: its steps, each with the key, the files and the facts.

    A step is *current* if it was done under the same key and its files have not changed since.
    The manifest is written after each step, whole, so a step is either done or not. A damaged one
    raises :class:`UserError`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "manifest.json"
        self.done: list[str] = []  # the steps done since this object was made
        self._data: Facts = {"versions": {}, "options": {}, "steps": {}}
        if self.path.exists():
            expected = "the record of a preparation; delete it for a new one"
            data = read_json(self.path, expected)
            if not isinstance(data, dict) or not isinstance(data.get("steps"), dict):
                raise UserError(f"{self.path}: expected {expected}")  # that of a sweep, say
            self._data |= data
        self._steps: dict[str, Facts] = self._data["steps"]

    def begin(self, steps: Iterable[Step], options: Facts, replace: bool) -> None:
        """Delete the files of keys that are not those of ``steps``; record ``options``."""
        keys = {step.name: step.key for step in steps}
        stale = [
            name
            for name, entry in self._steps.items()
            if entry["key"] != keys.get(name) and not name.startswith("archive/")
        ]
        if not replace and any("/" not in name for name in stale):
            raise UserError(
                f"{self.folder} was prepared differently ({self._differences(options)}); "
                "give -redo to replace what is there, or another -output"
            )
        for name in stale:
            for file in self._steps.pop(name)["files"]:
                (self.folder / file).unlink(missing_ok=True)
        self._data["options"] = options
        self._save()

    def _differences(self, options: Facts) -> str:
        before = self._data["options"] | self._data["versions"]
        now = options | versions(*PACKAGES)
        changes = [f"{n} was {before.get(n)}, is {now[n]}" for n in now if before.get(n) != now[n]]
        return "; ".join(changes) or "from other archives or by another recipe"

    def facts(self, name: str) -> Facts:
        """Return the facts of a step that was done once, current or not; else none."""
        return self._steps[name]["facts"] if name in self._steps else {}

    def make(self, step: Step) -> Facts:
        """Return the facts of a step; unless it is current, do it after those it needs."""
        if not self._current(step):
            for needed in step.needs:
                self.make(needed)
            start = time.monotonic()
            facts = step.work(*(self.folder / file for file in step.files))
            seconds = time.monotonic() - start
            self._steps[step.name] = {
                "key": step.key,
                "files": {file: _identity(self.folder / file) for file in step.files},
                "facts": facts,
                "seconds": round(seconds, 3),
            }
            self._data["versions"] = versions(*PACKAGES)
            self._save()
            self.done.append(step.name)
            unit, count = next(item for item in facts.items() if isinstance(item[1], int))
            speed = f"{seconds:,.1f} s, {count / max(seconds, 1e-6):,.0f} {unit}/s"
            print(f"{step.name}: {count:,} {unit}, {speed}", file=sys.stderr)
        return self.facts(step.name)

    def _current(self, step: Step) -> bool:
        entry = self._steps.get(step.name, {"key": None})
        return entry["key"] == step.key and all(
            (self.folder / name).is_file() and _identity(self.folder / name) == before
            for name, before in entry["files"].items()
        )

    def _save(self) -> None:
        write_changed(self.path, json.dumps(self._data, indent=2, ensure_ascii=False) + "\n")


def write_changed(path: Path, text: str) -> None:
    """Write a text file, whole, unless it holds this ``text`` already."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _identity(path: Path) -> Facts:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}
