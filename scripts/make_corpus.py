"""Write data/, the embedded corpus and the page that describes it, bit for bit."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from onmt_lattice.corpus import SPLITS, corpus_text, english_grammar
from onmt_lattice.files import whole_file

DATA = Path(__file__).resolve().parent.parent / "data"

README = """\
# The embedded corpus

English sentences drawn from a probabilistic grammar (`onmt_lattice/corpus/english.py`), whose
entropy is known exactly. Lower case, tokens separated by spaces, no punctuation, one sentence a
line; a token is a word.

| | |
|---|---|
| entropy H of a sentence | {entropy:.4f} bits |
| words a sentence | {words:.4f} on average, {shortest} to {longest} |
| entropy a word | {per_word:.4f} bits (H over the mean number of words) |
| vocabulary | {vocabulary} words |
| different sentences | {sentences:.3g}, none with two derivations |

| file in grammar/ | sentences | words | bytes | repeated lines |
|---|---|---|---|---|
{table}

The sentences are independent draws, so that one may occur twice; to remove it would change the
distribution, and with it H. A repeated line stands earlier in its file or in a file named above
it. Some sentences:

{examples}

Since no sentence has two derivations, H is the sum of the entropies of the choices that make a
sentence, and no code can be expected to spend fewer than H bits on a sentence that it has not
seen: **rate + NLL ≥ H**. `onmt_lattice.corpus.ideal_bits` gives each sentence's own bound,
-log2 P. The law is about valid.en and test.en, with every word in the model's vocabulary; a model
that has learned train.en by heart can spend less than H bits on train.en.

Everything here is written by

    python scripts/make_corpus.py

and `python scripts/make_corpus.py --check` tells whether it still is what that writes.
"""


def corpus_files() -> dict[str, str]:
    """Return the text of each file under data/, by its path there."""
    texts = {split: corpus_text(split) for split in SPLITS}
    files = {f"grammar/{split}.en": text for split, text in texts.items()}
    return {**files, "README.md": describe(texts)}


def describe(texts: dict[str, str]) -> str:
    """Return the page that describes the splits ``texts``."""
    grammar, rng = english_grammar(), random.Random(0)
    met: set[str] = set()
    rows = []
    for split, text in texts.items():
        lines = text.splitlines()
        repeated = len(lines) - len(set(lines) - met)
        met |= set(lines)
        size = len(text.encode())
        rows.append(f"| {split}.en | {len(lines)} | {len(text.split())} | {size} | {repeated} |")
    return README.format(
        entropy=grammar.entropy_bits,
        words=grammar.expected_words,
        per_word=grammar.entropy_bits / grammar.expected_words,
        shortest=grammar.shortest,
        longest=grammar.longest,
        vocabulary=len(grammar.vocabulary),
        sentences=grammar.distinct_sentences,
        table="\n".join(rows),
        examples="\n".join("    " + " ".join(grammar.sample(rng)) for _ in range(8)),
    )


def stale(directory: Path, files: dict[str, str]) -> list[Path]:
    """Return the paths under ``directory`` that do not hold what ``files`` says."""
    expected = {directory / name: text.encode() for name, text in files.items()}
    return [p for p, text in expected.items() if not p.is_file() or p.read_bytes() != text]


def main(arguments: list[str] | None = None) -> int:
    """Write or check data/; return the exit status, 1 if a checked file differs."""
    parser = argparse.ArgumentParser(
        description="Write the embedded corpus: train.en, valid.en and test.en with 40,000, 1,000 "
        "and 1,000 sentences (about 2 MiB) and a README.md with its entropy in bits a sentence "
        "and a word. The seeds are fixed: every run writes the same bytes.",
        epilog="example: python scripts/make_corpus.py --check",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=DATA, metavar="DIR",
        help="directory that gets README.md and grammar/*.en (default: data/ of the repository)",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true",
        help="write nothing; exit with 1 if DIR does not hold the bytes that would be written",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    files = corpus_files()
    if options.check:
        different = stale(options.output, files)
        for path in different:
            print(f"{path} is not what make_corpus.py writes; run it without --check")
        return 1 if different else 0
    for name, text in files.items():
        with whole_file(options.output / name) as part:
            part.write_bytes(text.encode())
        print(f"wrote {options.output / name}, {len(text.encode())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
