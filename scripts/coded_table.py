#!/usr/bin/env python3
"""Compare the bits of compressed files with the rate, model by model, as a table in Markdown."""

from __future__ import annotations

import math
import os

import scripting

from onmt_lattice.bitstream import FileReader
from onmt_lattice.opennmt.inference.text_codec import load_codec
from onmt_lattice.text import read_lines

HEAD = """\
| model | rate | points | file | over the rate | 0.5 % + 64 |
| --- | ---: | ---: | ---: | ---: | ---: |"""


def row(model: str, lines: list[str]) -> str:
    """Return the row of ``model``: the bits of ``lines``, by its rate and in a file."""
    file = load_codec(model).compressed(lines, with_rate=True)
    rate, bits = file.rate_nats / math.log(2), 8 * len(file.data)
    points = FileReader(file.data).bits()["points"]
    numbers = (rate, points, bits, bits - rate, 0.005 * rate + 64)
    name = os.path.basename(os.path.dirname(os.path.abspath(model)))
    return " | ".join([f"| {name}", *(f"{number:.0f}" for number in numbers)]) + " |"


def main() -> None:
    """Print the table."""
    parser = scripting.parser(__doc__ or "")
    parser.add_argument("-model", nargs="+", required=True, help="checkpoints with a code")
    parser.add_argument("-src", required=True, help="text, UTF-8")
    args = parser.parse_args()
    lines = read_lines(args.src)
    print(HEAD)
    for model in args.model:
        print(row(model, lines), flush=True)


if __name__ == "__main__":
    scripting.run(main)
