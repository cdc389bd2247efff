"""Real text that needs no large download: the World English Bible, 34,000 sentences.

From the verses of its Python package to sentences in Moses tokens, divided by whole chapters into
a training, a validation and a test text. The translation's publisher has dedicated it to the
public domain; the package is under the MIT licence.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from onmt_lattice.errors import UserError
from onmt_lattice.prepare.manifest import Facts, Manifest, Step, key, sole_user, versions
from onmt_lattice.prepare.texts import whole_text
from onmt_lattice.prepare.tokenise import tokeniser
from onmt_lattice.prepare.verses import PACKAGE, Package, clean, read_package, sentences

TEXTS = ("train", "valid", "test")
STEP = "texts"
LICENCE = {"text": "public domain, by its publisher's dedication", "package": "MIT"}

Chapters = Mapping[int, list[str]]


@dataclass(frozen=True)
class Options:
    """The options of ``prepare bible``."""

    out: Path
    longest: int = 80
    """Tokens that a sentence may have at most."""
    keep_case: bool = False
    seed: int = 1
    """Of the chapters that are held out, and of the training sentences' order."""
    held_out: int = 1000
    """Sentences for validation, and as many again for test, at least: chapters stay whole."""
    redo: bool = False
    """Replace data that was prepared with other options."""

    def of_data(self) -> dict[str, Any]:
        """Return the options on which the prepared data depends."""
        return {k: v for k, v in asdict(self).items() if k not in ("out", "redo")}


def prepare(options: Options) -> Manifest:
    """Prepare the data in ``options.out``, unless it is there already; return the manifest.

    Raises :class:`UserError` when the text is not installed, when it is too short to hold so much
    of it out, and for a folder that was prepared with other options.
    """
    package = read_package()
    said = {"text": f"{PACKAGE} {package.version}", **options.of_data()}
    files = tuple(options.out / f"{name}.en" for name in TEXTS)
    step = Step(STEP, key(said, versions()["sacremoses"]), files)
    with sole_user(options.out):
        manifest = Manifest(options.out)
        manifest.begin([step], said, options.redo)
        manifest.once(step, partial(_write, options, package, files))
    return manifest


def tokenised(package: Package, keep_case: bool) -> dict[int, list[str]]:
    """Return the sentences of each chapter, in Moses tokens parted by single spaces."""
    moses = tokeniser("en")
    return {
        number: [moses(s) if keep_case else moses(s).lower() for s in sentences(map(clean, verses))]
        for number, verses in package.chapters().items()
    }


def divide(chapters: Chapters, held_out: int, seed: int) -> dict[str, Chapters]:
    """Return the chapters of "train", "valid" and "test", in the order of the book.

    Test and validation get chapters, drawn by ``seed``, until they have ``held_out`` sentences
    each. Raises :class:`UserError` when nothing is left to train on.
    """
    drawn = list(chapters)
    random.Random(seed).shuffle(drawn)
    parts: dict[str, Chapters] = {}
    for name in ("test", "valid"):
        part: list[int] = []
        while drawn and sum(len(chapters[n]) for n in part) < held_out:
            part.append(drawn.pop())
        parts[name] = {n: chapters[n] for n in sorted(part)}
    if not drawn:
        total = sum(map(len, chapters.values()))
        raise UserError(
            f"of {total:,} sentences in {len(chapters)} chapters none are left to train on when "
            f"{held_out:,} are held out twice; give --held-out a smaller number"
        )
    return {"train": {n: chapters[n] for n in sorted(drawn)}, **parts}


def without(lines: list[str], held_out: list[str]) -> list[str]:
    """Return the ``lines`` that are not ``held_out``, word for word."""
    held = set(held_out)
    return [line for line in lines if line not in held]


def _write(options: Options, package: Package, files: tuple[Path, ...]) -> Facts:
    """Write the three texts to ``files``; return what is in them and what was left out."""
    whole = tokenised(package, options.keep_case)
    kept = {n: [s for s in lines if _fits(s, options.longest)] for n, lines in whole.items()}
    parts = divide(kept, options.held_out, options.seed)
    texts = {name: [s for lines in parts[name].values() for s in lines] for name in TEXTS}
    before = {name: len(lines) for name, lines in texts.items()}
    texts["valid"] = without(texts["valid"], texts["test"])
    texts["train"] = without(texts["train"], texts["valid"] + texts["test"])
    random.Random(options.seed).shuffle(texts["train"])
    for name, path in zip(TEXTS, files, strict=True):
        with whole_text(path) as stream:
            stream.writelines(f"{line}\n" for line in texts[name])
    total = sum(map(len, whole.values()))
    return {
        "licence": LICENCE,
        "verses": len(package.verses),
        "chapters": len(whole),
        "sentences": total,
        "too_long": total - sum(before.values()),
        "texts": {
            name: {
                "chapters": len(parts[name]),
                "sentences": len(lines),
                "tokens": sum(len(line.split()) for line in lines),
                "held_out_elsewhere": before[name] - len(lines),
            }
            for name, lines in texts.items()
        },
    }


def _fits(sentence: str, longest: int) -> bool:
    return 1 <= len(sentence.split()) <= longest
