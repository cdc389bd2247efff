#!/usr/bin/env python3
"""Hold the bits of compressed files against the rate, model by model, as a table in Markdown."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
import warnings

warnings.filterwarnings("ignore", category=FutureWarning)

from onmt_lattice.bitstream import TextFile
from onmt_lattice.files import read_lines
from onmt_lattice.opennmt.text_codec import load_codec

HEAD = """\
| model | rate | coded | over it | allowed | points | header | lengths | checksums |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


def parse_args() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-model", nargs="+", required=True, help="checkpoints with a code")
    parser.add_argument("-src", required=True, help="text, UTF-8")
    return parser.parse_args()


def row(model: str, lines: list[str]) -> str:
    """Return the row of ``model``: bits of the file of ``lines``, in all and by part."""
    made = load_codec(model).compressed(lines)
    rate, bits, parts = made.rate_nats / math.log(2), 8 * len(made.data), TextFile(made.data).bits()
    named = [parts[name] for name in ("points", "header", "lengths", "checksums")]
    numbers = [round(rate), bits, round(bits - rate), int(0.005 * rate + 64), *named]
    return " | ".join([f"| {os.path.basename(os.path.dirname(model))}", *map(str, numbers)]) + " |"


def main() -> None:
    """Print the table."""
    args = parse_args()
    lines = read_lines(args.src)
    print(HEAD)
    for model in args.model:
        print(row(model, lines), flush=True)


if __name__ == "__main__":
    main()
