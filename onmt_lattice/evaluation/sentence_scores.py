"""The costs of each sentence of a text, to compare models sentence by sentence."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from onmt_lattice.errors import UserError
from onmt_lattice.files import write_lines


class SentenceCost(NamedTuple):
    """The cost of one sentence.

    Attributes:
        line: its number in the text, from 1.
        words: number of words, the pieces of each joined.
        nll, rate: bits.
    """

    line: int
    words: int
    nll: float
    rate: float


HEAD = "\t".join(SentenceCost._fields)


def write_costs(path: str | os.PathLike[str], costs: Iterable[SentenceCost]) -> None:
    """Write ``costs`` as tab-separated values under a line of headings, whole or not at all."""
    lines = (f"{c.line}\t{c.words}\t{c.nll:.9g}\t{c.rate:.9g}" for c in costs)
    write_lines(path, [HEAD, *lines])


def read_costs(path: Path) -> list[SentenceCost]:
    """Return the costs in the file ``path``."""
    try:
        head, *rows = list(csv.reader(path.open(encoding="utf-8", newline=""), delimiter="\t"))
        assert "\t".join(head) == HEAD
        return [SentenceCost(int(i), int(n), float(nll), float(rate)) for i, n, nll, rate in rows]
    except (OSError, ValueError, AssertionError) as error:
        raise UserError(
            f"{path}: expected the costs of sentences, as evaluate -scores writes them; a sweep "
            f"evaluates again if the file is removed"
        ) from error
