"""The training corpora, tokenised and cleaned: the sentences from which everything is made."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.prepare.archive import read_lines
from onmt_lattice.prepare.clean import Limits, clean
from onmt_lattice.prepare.collection import Collection
from onmt_lattice.prepare.manifest import WORK, Facts, Manifest, Step, key
from onmt_lattice.prepare.options import Options
from onmt_lattice.prepare.parallel import batches, ordered_map
from onmt_lattice.prepare.sources import TRAINING
from onmt_lattice.prepare.texts import whole_text

BATCH = 1000  # pairs a worker is given at a time

Pair = tuple[bytes, bytes]


class Tokens:
    """The kept sentences of each corpus, a step each: files of one sentence a line.

    ``archives`` are the facts of each archive.

    Raises:
        UserError: if a corpus's two sides have different numbers of lines.
    """

    def __init__(
        self,
        options: Options,
        manifest: Manifest,
        collection: Collection,
        archives: dict[str, Facts],
    ) -> None:
        self._options, self._manifest, self._collection = options, manifest, collection
        self._folder = options.output / WORK
        self._pairs = {name: _pairs(name, archives[c.archive]) for name, c in TRAINING.items()}
        self.steps = [self._step(n, archives[c.archive]["sha256"]) for n, c in TRAINING.items()]

    @property
    def kept(self) -> int:
        """The number of sentences that have been kept."""
        return sum((self._manifest.facts(step.name) or {"kept": 0})["kept"] for step in self.steps)

    def files(self, side: str) -> list[Path]:
        """Return the files of one side, "en" or "de", in the order of the corpora."""
        return [f for step in self.steps for f in step.files if f.suffix == f".{side}"]

    def make(self) -> None:
        """Tokenise and clean what is not yet, and say how fast."""
        for name, step in zip(TRAINING, self.steps, strict=True):
            self._manifest.once(step, partial(self._write, name, step))

    def delete(self) -> None:
        """Delete the files, and their folder if it is empty then."""
        for path in self.files("en") + self.files("de"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    def _step(self, name: str, digest: str) -> Step:
        options = self._options
        sides = ("en", "de") if options.joint_bpe else ("en",)
        files = tuple(self._folder / f"{name}.{side}" for side in sides)
        under = key(
            digest, TRAINING[name], sides, options.max_tokens, options.plain, version("sacremoses")
        )
        return Step(f"tokens/{name}", under, files)

    def _read(self, name: str) -> Iterator[Pair]:
        corpus = TRAINING[name]
        path = self._collection.path(corpus.archive)
        return zip(read_lines(path, corpus.english), read_lines(path, corpus.german), strict=True)

    def _write(self, name: str, step: Step) -> Facts:
        work = partial(clean, limits=Limits(self._options.max_tokens), plain=self._options.plain)
        start, pairs, dropped, invalid = time.monotonic(), 0, Counter[str](), list[int]()
        bar = tqdm(total=self._pairs[name], desc=name, unit=" pairs", disable=None)
        with ExitStack() as stack:
            streams = [stack.enter_context(whole_text(path)) for path in step.files]
            stack.enter_context(bar)
            source = batches(self._read(name), BATCH)
            for batch in ordered_map(work, source, self._options.workers):
                for stream, side in zip(streams, (batch.english, batch.german), strict=False):
                    stream.writelines(f"{line}\n" for line in side)
                invalid += [pairs + place + 1 for place in batch.invalid]
                dropped += batch.faults
                size = len(batch.english) + batch.faults.total()
                pairs += size
                bar.update(size)
        report(f"tokenised {name}", pairs, "pairs", time.monotonic() - start)
        facts = {"pairs": pairs, "kept": pairs - dropped.total(), "dropped": dict(dropped)}
        return facts | ({"lines not UTF-8": invalid} if invalid else {})


def report(what: str, count: int, unit: str, seconds: float) -> None:
    """Say on standard error how much was done, and how fast."""
    rate = count / seconds if seconds > 0 else 0.0
    print(f"{what}: {count:,} {unit}, {seconds:,.1f} s, {rate:,.0f} {unit}/s", file=sys.stderr)


def _pairs(name: str, facts: Facts) -> int:
    corpus = TRAINING[name]
    english, german = (facts["lines"][member] for member in (corpus.english, corpus.german))
    if english != german:
        raise UserError(
            f"{name}: {corpus.english} has {english:,} lines and {corpus.german} has {german:,}, "
            f"but pairs are line by line; get {corpus.archive} again"
        )
    return english
