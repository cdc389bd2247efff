"""The same sentences as decoded at several rates, side by side."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import NamedTuple

from onmt_lattice.evaluation.result import Evaluation
from onmt_lattice.experiments.report.curves import by_seed
from onmt_lattice.experiments.report.results import SCHEDULES, Point, Results

POINTS = 4  # of a curve

Words = list[tuple[str, bool]]  # parts of a line, and whether the sentence has them there


class Sentence(NamedTuple):
    """A sentence of the text as decoded at the points of every curve, from low rate to high."""

    text: str
    rows: dict[str, list[tuple[Evaluation, Words | None]]]  # None where there is no line
    most: int  # points of a row


def reconstructions(results: Results) -> list[Sentence]:
    """Return the first sentences that are not empty; none if no checkpoint decoded the text."""
    every = {name: decoded_points(results, name) for name in results.curves}
    points = {name: row for name, row in every.items() if row}
    if not points:
        return []
    most = max(map(len, points.values()))
    return [
        Sentence(
            text,
            {
                name: [(p.evaluation, _line(p, i, text)) for p in row]
                for name, row in points.items()
            },
            most,
        )
        for i, text in enumerate(results.inputs)
        if text.strip()
    ]


def decoded_points(results: Results, curve: str) -> list[Point]:
    """Return up to ``POINTS`` decoded points of ``curve``, evenly spaced, from low rate to high.

    All are of one seed, the first that has any, and of one schedule: fixed λ where it has any.
    """
    for schedule in SCHEDULES:
        for _, marks in sorted(by_seed(results, curve, schedule).items()):
            decoded = [mark.point for mark in marks if mark.point.decoded is not None]
            if decoded:
                decoded.sort(key=lambda point: point.evaluation.rate.word)
                count = min(POINTS, len(decoded))
                last = len(decoded) - 1
                return [decoded[round(i * last / max(count - 1, 1))] for i in range(count)]
    return []


def compared(sentence: str, decoded: str) -> Words:
    """Return the parts of ``decoded``, and of each whether ``sentence`` has it there.

    >>> compared("the cat sat there", "the old cat sat here")
    [('the', True), ('old', False), ('cat sat', True), ('here', False)]
    """
    here, there = decoded.split(), sentence.split()
    matcher = SequenceMatcher(None, there, here, autojunk=False)
    return [
        (" ".join(here[start:end]), tag == "equal")
        for tag, _, _, start, end in matcher.get_opcodes()
        if start < end
    ]


def _line(point: Point, number: int, sentence: str) -> Words | None:
    lines = point.decoded or []
    return compared(sentence, lines[number]) if number < len(lines) else None
