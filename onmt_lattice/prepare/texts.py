"""The texts that models read: training text with its vocabulary, validation and test texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.files import whole_file, write_lines
from onmt_lattice.prepare.clean import decode
from onmt_lattice.prepare.manifest import Facts
from onmt_lattice.prepare.parallel import batches, ordered_map
from onmt_lattice.prepare.sgm import segments
from onmt_lattice.prepare.subword import segment
from onmt_lattice.prepare.tokenise import tokeniser

BATCH = 2000  # lines a worker is given at a time


def write_training(
    english: Iterable[str],
    german: Iterable[str],
    model: Path,
    files: Sequence[Path],
    *,
    plain: bool,
    workers: int,
    total: int,
) -> Facts:
    """Write the training text and its vocabulary to the two ``files``.

    The text is ``english`` segmented by ``model``, on ``workers`` processes; if ``plain`` it
    stays as it is, for OpenNMT-py to segment as it reads. The vocabulary, a unit, a tab and its
    count to a line and the most frequent first, counts the units of both sides; ``german`` may
    be empty. Lines of which the model leaves nothing are dropped. ``total`` is how many lines there
    are, for the progress bar.
    """
    units: Counter[str] = Counter()
    sentences = 0
    work = partial(segment, model=model, plain=plain)
    bar = tqdm(total=total, desc="segment", unit=" lines", disable=None)
    with whole_text(files[0]) as stream, bar:
        for done in ordered_map(work, batches(english, BATCH), workers):
            kept = [line for line in done.lines if line]
            stream.writelines(f"{line}\n" for line in kept)
            units.update(done.units)
            sentences += len(kept)
            bar.update(len(done.lines))
        tokens = units.total()
        for done in ordered_map(work, batches(german, BATCH), workers):
            units.update(done.units)
            bar.update(len(done.lines))
    ranked = sorted(units.items(), key=lambda item: (-item[1], item[0]))
    write_lines(files[1], (f"{unit}\t{count}" for unit, count in ranked))
    return {"sentences": sentences, "units": tokens, "vocabulary": len(units)}


def write_text(sentences: Iterable[str], model: Path, plain: bool, files: Iterable[Path]) -> Facts:
    """Write a validation or test text of raw ``sentences`` to ``files``.

    Its tokens segmented by a BPE ``model``; if ``plain``, the sentences as they are and, when
    there is a second file, their sentencepiece units in that.
    """
    if plain:
        lines = [" ".join(sentence.split()) for sentence in sentences]
    else:
        lines = [tokeniser("en")(sentence) for sentence in sentences]
    done = segment(lines, model, plain=False)
    for path, content in zip(files, (lines, done.lines) if plain else (done.lines,), strict=False):
        write_lines(path, content)
    return {"sentences": len(lines), "units": done.units.total()}


def read_text(source: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the sentences of a plain text, or of an SGM file if ``name`` ends so.

    Raises:
        UserError: if a line is not UTF-8: a text to measure on must be as it was published.
    """
    lines = (_decoded(line, name, number) for number, line in enumerate(source, 1))
    return segments(lines) if name.endswith(".sgm") else lines


def _decoded(line: bytes, name: str, number: int) -> str:
    text, valid = decode(line)
    if not valid:
        raise UserError(f"{name}, line {number}: not UTF-8; get its archive again")
    return text


def in_order(files: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of ``files``, one file after the other; only a line feed ends a line."""
    for path in files:
        with path.open(encoding="utf-8", newline="\n") as stream:
            for line in stream:
                yield line.removesuffix("\n")


def shuffled(files: Sequence[Path], seed: int) -> Iterator[str]:
    """Yield the same lines in an order that ``seed`` alone decides, each order equally likely."""
    lines = list(in_order(files))
    order = np.random.RandomState(seed).permutation(len(lines))  # this generator is frozen
    return (lines[i] for i in order)


@contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """Yield a stream to write a text file with, which appears only when whole."""
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream
