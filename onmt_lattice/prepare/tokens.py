"""The training corpora, tokenised and cleaned: the sentences from which everything is made."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.files import whole_file
from onmt_lattice.prepare.archive import read_lines
from onmt_lattice.prepare.clean import Cleaned, Limits, clean
from onmt_lattice.prepare.collection import Collection
from onmt_lattice.prepare.manifest import WORK, Facts, Manifest, Step, key, versions
from onmt_lattice.prepare.options import Options
from onmt_lattice.prepare.parallel import batches, ordered_map
from onmt_lattice.prepare.sources import TRAINING, Corpus

BATCH = 1000  # pairs a worker is given at a time
SHARD = 200  # batches after which what is done is safe from interruption

Pair = tuple[bytes, bytes]


class Tokens:
    """The kept sentences, in shards of 200,000 pairs: files of one sentence a line.

    ``archives`` are the facts of each archive. Raises :class:`UserError` when a corpus's two
    sides have different numbers of lines.
    """

    def __init__(
        self,
        options: Options,
        manifest: Manifest,
        collection: Collection,
        archives: dict[str, Facts],
    ) -> None:
        self._options, self._manifest, self._collection = options, manifest, collection
        self._folder = options.out / WORK
        self._pairs = {name: _pairs(name, c, archives[c.archive]) for name, c in TRAINING.items()}
        self._shards = {
            name: [
                self._step(name, archives[corpus.archive]["sha256"], shard)
                for shard in range(-(-self._pairs[name] // (SHARD * BATCH)))
            ]
            for name, corpus in TRAINING.items()
        }

    @property
    def steps(self) -> list[Step]:
        """One step for each shard."""
        return [step for shards in self._shards.values() for step in shards]

    @property
    def kept(self) -> int:
        """The number of sentences that have been kept."""
        return sum((self._manifest.facts(step.name) or {"kept": 0})["kept"] for step in self.steps)

    def files(self, side: str) -> list[Path]:
        """Return the files of one side, "en" or "de", in the order of the corpora."""
        return [f for step in self.steps for f in step.files if f.suffix == f".{side}"]

    def make(self) -> None:
        """Tokenise and clean what is not yet, and say how fast."""
        for name, shards in self._shards.items():
            todo = [shard for shard, step in enumerate(shards) if not self._manifest.current(step)]
            if todo:
                start = time.monotonic()
                pairs = self._corpus(name, todo)
                report(f"tokenised {name}", pairs, "pairs", time.monotonic() - start)

    def delete(self) -> None:
        """Delete the files, and their folder if it is empty then."""
        for step in self.steps:
            for path in step.files:
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    def _step(self, name: str, digest: str, shard: int) -> Step:
        options = self._options
        sides = ("en", "de") if options.joint else ("en",)
        files = tuple(self._folder / f"{name}-{shard:04d}.{side}" for side in sides)
        rules = (options.longest, options.plain, SHARD * BATCH, versions()["sacremoses"])
        return Step(f"tokens/{name}/{shard:04d}", key(digest, TRAINING[name], sides, rules), files)

    def _corpus(self, name: str, todo: list[int]) -> int:
        """Make the shards ``todo`` of a corpus; return how many pairs that were."""
        source = batches(self._read(TRAINING[name]), BATCH)
        bar = tqdm(total=self._pairs[name], desc=name, unit=" pairs", disable=None)
        made = 0
        with bar:
            for shard, step in enumerate(self._shards[name]):
                part = islice(source, SHARD)
                if shard not in todo:
                    bar.update(sum(map(len, part)))
                    continue
                do = partial(self._shard, part, shard * SHARD * BATCH, step.files, bar)
                made += self._manifest.once(step, do)["pairs"]
        return made

    def _read(self, corpus: Corpus) -> Iterator[Pair]:
        path = self._collection.path(corpus.archive)
        return zip(read_lines(path, corpus.english), read_lines(path, corpus.german), strict=True)

    def _shard(
        self, source: Iterable[list[Pair]], first: int, files: Iterable[Path], bar: tqdm
    ) -> Facts:
        """Write one shard, which begins behind line ``first`` of its corpus."""
        work = partial(clean, limits=Limits(self._options.longest), plain=self._options.plain)
        pairs, dropped, invalid = 0, Counter[str](), list[int]()
        with ExitStack() as stack:
            parts = [stack.enter_context(whole_file(path)) for path in files]
            streams = [
                stack.enter_context(p.open("w", encoding="utf-8", newline="\n")) for p in parts
            ]
            over = stack.enter_context(ordered_map(self._options.workers))
            batch: Cleaned
            for batch in over(work, source):
                for stream, side in zip(streams, (batch.english, batch.german), strict=False):
                    stream.writelines(f"{line}\n" for line in side)
                invalid += [first + pairs + place + 1 for place in batch.invalid]
                dropped += batch.faults
                size = len(batch.english) + batch.faults.total()
                pairs += size
                bar.update(size)
        facts = {"pairs": pairs, "kept": pairs - dropped.total(), "dropped": dict(dropped)}
        return facts | ({"lines not UTF-8": invalid} if invalid else {})


def report(what: str, count: int, unit: str, seconds: float) -> None:
    """Say on standard error how much was done, and how fast."""
    rate = count / seconds if seconds > 0 else 0.0
    print(f"{what}: {count:,} {unit}, {seconds:,.1f} s, {rate:,.0f} {unit}/s", file=sys.stderr)


def _pairs(name: str, corpus: Corpus, facts: Facts) -> int:
    english, german = (facts["lines"][member] for member in (corpus.english, corpus.german))
    if english != german:
        raise UserError(
            f"{name}: {corpus.english} has {english:,} lines and {corpus.german} has {german:,}, "
            f"but pairs are line by line; get {corpus.archive} again"
        )
    return english
