"""Time the preparation of WMT16 on archives made by repeating a text, and extrapolate to all."""

from __future__ import annotations

import io
import itertools
import json
import random
import resource
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import scripting
from sacremoses import MosesDetokenizer
from subword_nmt.learn_bpe import learn_bpe

from onmt_lattice.experiments.prepare.options import TEXTS, TRAINING, Wmt16Options
from onmt_lattice.experiments.prepare.steps import Steps
from onmt_lattice.experiments.prepare.subword import segment
from onmt_lattice.experiments.prepare.wmt16 import prepare

DESCRIPTION = """\
Prepare archives of the layout of WMT16 whose sentences, on both sides, are TEXT's (Moses tokens, a
sentence a line; they are put together again first), repeated. Print the time of each step, its
pairs per second, the peak memory, and the time of the whole of WMT16 at that rate.

A repeated text has fewer different words than WMT16, on which the time and the memory of learning
merges depend and, by its cache of words, that of segmenting. So both are also measured on
-types made-up words, with as many merges as asked for.
"""

PAIRS = 4_562_102  # in Europarl v7, Common Crawl and News Commentary v11
SHARES = {"europarl-v7": 0.42, "commoncrawl": 0.53, "news-commentary-v11": 0.05}


def main() -> None:
    """Measure and print."""
    parser = scripting.parser(DESCRIPTION)
    parser.epilog = "example: python scripts/bench_prepare.py text.en -lines 200000 -types 900000"
    parser.add_argument("text", type=Path, nargs="+", help="tokenised sentences, one a line")
    parser.add_argument("-lines", type=int, default=200_000, help="pairs (default: 200000)")
    parser.add_argument("-merges", type=int, default=32_000, help="of BPE (default: 32000)")
    parser.add_argument("-types", type=int, default=0, help="made-up words (default: none)")
    parser.add_argument("-workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("-joint_bpe", action="store_true", help="as prepare wmt16 has it")
    args = parser.parse_args()
    sentences = [line for path in args.text for line in path.read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        archives, out = Path(folder, "archives"), Path(folder, "out")
        write_archives(archives, sentences, args.lines)
        options = Wmt16Options(
            output=out,
            merges=args.merges,
            archives=archives,
            workers=args.workers,
            joint_bpe=args.joint_bpe,
        )
        report_steps(prepare(options), args.lines, args.workers)
        report_memory()
        if args.types:
            bench_words(sentences, args.types, args.merges, Path(folder))


def report_steps(manifest: Steps, pairs: int, workers: int) -> None:
    """Print the time of each kind of step, and the time for all pairs of WMT16."""
    steps = json.loads(manifest.path.read_text("utf-8"))["steps"]
    labels = {"archive": "look through archives", "tokens": "tokenise and clean"}
    labels["train"] = "segment"
    seconds = Counter[str]()
    for name, entry in steps.items():
        label = labels.get(name.split("/")[0])
        if label:
            seconds[label] += entry["seconds"]
    print(f"\n{pairs:,} pairs, {workers} workers; WMT16 has {PAIRS:,}")
    print(f"{'':22} {'time':>8} {'pairs per second':>16} {'WMT16':>10}")
    for label in labels.values():
        minutes = seconds[label] * PAIRS / pairs / 60
        rate = pairs / max(seconds[label], 1e-3)
        print(f"{label:22} {seconds[label]:6.1f} s {rate:16,.0f} {minutes:6.1f} min")


def report_memory() -> None:
    """Print the peak resident memory of this process and of the largest worker, in MiB."""
    own, worker = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"peak memory: {own:,.0f} MiB, and {worker:,.0f} MiB in a worker at most")


def bench_words(sentences: list[str], types: int, merges: int, folder: Path) -> None:
    """Time and weigh the learning of merges on made-up words, and segmenting them uncached."""
    start = time.process_time()
    with (folder / "bpe.codes").open("w", encoding="utf-8") as stream:
        counted = (f"{word} {count}" for word, count in made_up_words(sentences, types))
        learn_bpe(counted, stream, merges, is_dict=True)
    seconds = time.process_time() - start
    print(f"\n{types:,} different words, {merges:,} merges: {seconds:.0f} s of CPU")
    report_memory()
    sample = [word for word, _ in itertools.islice(made_up_words(sentences, types), 50_000)]
    segment([""], folder / "bpe.codes")  # read the merges before the clock starts
    start = time.process_time()
    segment([" ".join(sample)], folder / "bpe.codes")
    seconds = time.process_time() - start
    print(f"segmenting a word for the first time: {1e6 * seconds / len(sample):.0f} microseconds")


def made_up_words(sentences: list[str], types: int) -> Iterator[tuple[str, int]]:
    """Yield ``types`` different words with counts that fall as Zipf's law has it.

    First the words of the text, then parts of two of them joined, hyphenated and numbers.
    """
    rng = random.Random(1)
    real = list(dict.fromkeys(word for line in sentences for word in line.split()))
    seen: set[str] = set()
    while len(seen) < types:
        left, right = rng.choices(real, k=2)
        joined = left[: rng.randint(2, 7)] + rng.choice(("", "", "-")) + right[-rng.randint(2, 6) :]
        word = real[len(seen)] if len(seen) < len(real) else rng.choice((joined, joined.lower()))
        if rng.random() < 0.1 and len(seen) >= len(real):
            word = str(rng.randrange(10 ** rng.randint(3, 8)))
        if word not in seen:
            seen.add(word)
            yield word, max(1, round(7e6 / len(seen)))


def write_archives(folder: Path, sentences: list[str], pairs: int) -> None:
    """Write the five archives, ``pairs`` of a sentence with itself in the training corpora."""
    join = MosesDetokenizer("en").detokenize
    plain = [join(line.split()) for line in sentences]
    endless = itertools.cycle(plain)
    members: dict[str, dict[str, str]] = {}
    for name, corpus in TRAINING.items():
        part = "".join(f"{line}\n" for line in itertools.islice(endless, int(pairs * SHARES[name])))
        members[corpus.archive] = dict.fromkeys(corpus.members, part)
    for text in TEXTS.values():
        lines = (f'<seg id="{i}">{s}</seg>\n' for i, s in enumerate(plain[: text.sentences], 1))
        members.setdefault(text.archive, {})[text.member] = "".join(lines)
    folder.mkdir()
    for name, files in members.items():
        with tarfile.open(folder / name, "w:gz", compresslevel=1) as archive:
            for member, content in files.items():
                data = content.encode()
                header = tarfile.TarInfo(member)
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))


if __name__ == "__main__":
    scripting.run(main)
