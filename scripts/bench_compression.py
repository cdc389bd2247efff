#!/usr/bin/env python3
"""Compress a text without loss by trained models, beside gzip, bzip2, xz and zstd."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
import time
from pathlib import Path

import scripting
import numpy as np

from onmt_lattice.bitstream.file import FileReader
from onmt_lattice.bitstream.lossless.lines import RAW
from onmt_lattice.opennmt.inference.lossless_text import LosslessText, load_lossless

DESCRIPTION = """\
For each model, the bytes that onmt_lattice compress -lossless makes of a text, by part, checked to
decompress to the text, and beside them:

  switched off  the same decoder, given the mean of the text's representations for every line and
                not its own: no points to pay for. It was trained with a representation, and never
                to do without.
  seconds       to compress and to decompress, the model loaded
  model         bytes of its parameters in single precision, which are not in the file
"""


def peers(data: bytes) -> dict[str, bytes | None]:
    """Return the output of general compressors, by their name and level; None without zstd."""
    zstd = shutil.which("zstd")
    return {
        "gzip -9": gzip.compress(data, 9, mtime=0),
        "bzip2 -9": bz2.compress(data, 9),
        "xz -9e": lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
        "zstd -19": zstd and subprocess.check_output([zstd, "-19", "-c"], input=data),
    }


class Table:
    """Prints sizes of one text."""

    def __init__(self, data: bytes) -> None:
        self.words, self.characters = len(data.split()), len(data.decode())
        print(f"{'':<34}{'bytes':>10}{'bits per character':>18}{'bits per word':>13}")
        self.row("the text", len(data))

    def row(self, name: str, size: float) -> None:
        """Print a line of the table; ``size`` in bytes."""
        each = 8 * size / self.characters, 8 * size / self.words
        print(f"{name:<34}{size:>10.0f}{each[0]:>18.3f}{each[1]:>13.3f}", flush=True)


def switched_off(lossless: LosslessText, data: bytes, size: int, parts: dict[str, int]) -> float:
    """Return the bytes of a file of ``size`` bytes if it did without its representation."""
    lines = lossless.lines()
    planned = lines.plan(data.removesuffix(b"\n").split(b"\n"))
    modelled = [line for line in planned if line.kind != RAW]
    _, values = lossless.values(modelled, range(len(modelled)), 0)
    encoded = lines.encode(planned, np.broadcast_to(values.mean(0), values.shape))
    return size + len(encoded.tokens) - (parts["points"] + parts["tokens"]) / 8


def model_rows(table: Table, path: str, data: bytes) -> None:
    """Print the lines of one model."""
    lossless = load_lossless(path)
    begin = time.perf_counter()
    file = lossless.compress(data)
    middle = time.perf_counter()
    if lossless.decompress(file) != data:
        raise SystemExit(f"{path}: decompressed to another text")
    seconds = middle - begin, time.perf_counter() - middle
    parameters = sum(p.numel() for p in lossless.codec.loaded.model.parameters())
    print(f"\n{path}: {4 * parameters} bytes of parameters, {seconds[0]:.1f} s, {seconds[1]:.1f} s")
    table.row("lossless", len(file))
    parts = FileReader(file).bits()
    rest = 8 * len(file) - sum(parts[name] for name in ("points", "tokens", "escapes"))
    for name, bits in {**parts, "header, lengths and checksums": rest}.items():
        if name in ("points", "tokens", "escapes") or " " in name[6:]:
            table.row(f"  {name}", bits / 8)
    table.row("representation switched off", switched_off(lossless, data, len(file), parts))


def main() -> None:
    """Print the table."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-model", nargs="*", default=[], help="checkpoints with a code")
    parser.add_argument("-src", required=True, help="text, UTF-8")
    args = parser.parse_args()
    data = Path(args.src).read_bytes()
    table = Table(data)
    for name, compressed in peers(data).items():
        if compressed is None:
            print(f"{name:<34}skipped: there is no program zstd here")
        else:
            table.row(name, len(compressed))
    for path in args.model:
        model_rows(table, path, data)


if __name__ == "__main__":
    scripting.run(main)
