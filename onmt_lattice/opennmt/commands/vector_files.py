"""The commands ``encode`` and ``decode``: from a text to a file of its vectors, and back."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tqdm import tqdm

from onmt_lattice.bitstream.arrays import Rows, open_rows, write_rows
from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.files import STANDARD, output_stream, standard_input
from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder
from onmt_lattice.opennmt.inference.vectors import SentenceVectors
from onmt_lattice.opennmt.options.commands import DecodeOptions, EncodeOptions
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.text import line_shards, lines_of, no_sentence

SHARD = 4096  # lines in memory at a time


def encode_file(options: EncodeOptions) -> str:
    """Write the rows of a text as a .npy file; return a summary.

    The text is read twice, as the file begins with its shape, and ``SHARD`` lines at a time.
    """
    with _seekable(options.src) as path:
        lines = _count(path)
        vectors = _vectors(options)
        shape = lines, vectors.width
        start, empty = time.perf_counter(), list[int]()
        write_rows(options.output, shape, vectors.dtype, _encoded(vectors, path, lines, empty))
        seconds = time.perf_counter() - start
    return (
        f"{lines} rows of {vectors.width} {vectors.dtype} numbers ({options.row_type}), "
        f"{sum(empty)} of empty lines, {(lines - sum(empty)) / seconds:.0f} sentences a second"
    )


def decode_file(options: DecodeOptions) -> str:
    """Write the text of a .npy file of rows; return a summary."""
    rows = open_rows(options.input)
    vectors = _vectors(options)
    start = time.perf_counter()
    with output_stream(options.output) as file:
        for shard in _decoded(vectors, rows, options):
            file.writelines(f"{line}\n".encode() for line in shard)
    seconds = time.perf_counter() - start
    return f"{len(rows)} lines, {len(rows) / seconds:.0f} a second"


def _vectors(options: EncodeOptions | DecodeOptions) -> SentenceVectors:
    plugin.install()
    loaded = load_autoencoder(options.model, options.gpu)
    return SentenceVectors(loaded, options.row_type, options.seed, options.batch_size)


@contextmanager
def _seekable(path: str) -> Iterator[str]:
    """Yield ``path``, or for standard input and other pipes the path of a temporary copy."""
    if path != STANDARD and not (Path(path).is_fifo() or Path(path).is_char_device()):
        yield path
        return
    with tempfile.NamedTemporaryFile() as copy:
        with nullcontext(standard_input()) if path == STANDARD else open(path, "rb") as pipe:
            shutil.copyfileobj(pipe, copy)
        copy.flush()
        try:
            yield copy.name
        except UserError as error:
            raise UserError(str(error).replace(copy.name, path)) from error


def _count(path: str) -> int:
    """Return the number of lines of a text; refuse a text without words."""
    lines, words = 0, False
    for line in lines_of(path):
        lines += 1
        words = words or bool(line.split())
    if not words:
        raise no_sentence(path)
    return lines


def _encoded(vectors: SentenceVectors, path: str, lines: int, empty: list[int]) -> Iterator[Rows]:
    """Yield the rows of a text, some at a time; append to ``empty`` how many are empty."""
    first = 0
    with tqdm(total=lines, unit="line", desc="encoding") as bar:
        for shard in line_shards(path, SHARD):
            rows = vectors.encode(shard, first)
            empty.append(int(vectors.are_empty(rows).sum()))
            yield rows
            first += len(shard)
            bar.update(len(shard))


def _decoded(vectors: SentenceVectors, rows: Rows, options: DecodeOptions) -> Iterator[list[str]]:
    with tqdm(total=len(rows), unit="line", desc="decoding") as bar:
        for first in range(0, len(rows), SHARD):
            shard = rows[first : first + SHARD]
            with error_prefix(f"-input {options.input}"):
                lines = vectors.decode(shard, first, options.beam_size, options.max_length)
            yield lines
            bar.update(len(shard))
