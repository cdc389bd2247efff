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
    """A sentence of the text and what became of it.

    Attributes:
        text: the sentence.
        rows: by curve, for each of its points from low rate to high the evaluation and the line
            as of :func:`compared`, or None where there is none.
        most: how many points a row has at most.
    """

    text: str
    rows: dict[str, list[tuple[Evaluation, Words | None]]]
    most: int


def reconstructions(results: Results) -> list[Sentence]:
    """Return the first sentences that are not empty; none if no checkpoint decoded the text."""
    points = {name: decoded_points(results, name) for name in results.curves}
    points = {name: chosen for name, chosen in points.items() if chosen}
    if not points:
        return []
    most = max(map(len, points.values()))
    return [
        Sentence(
            sentence,
            {
                name: [(point.evaluation, _line(point, number, sentence)) for point in chosen]
                for name, chosen in points.items()
            },
            most,
        )
        for number, sentence in enumerate(results.inputs)
        if sentence.strip()
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
    """Return the parts of ``decoded``, and of each whether ``sentence`` has it in its place.

    >>> compared("the cat sat there", "the old cat sat here")
    [('the', True), ('old', False), ('cat sat', True), ('here', False)]
    """
    here, there = decoded.split(), sentence.split()
    matcher = SequenceMatcher(None, there, here, autojunk=False)
    return [
        (" ".join(here[start:end]), kind == "equal")
        for kind, _, _, start, end in matcher.get_opcodes()
        if start < end
    ]


def _line(point: Point, number: int, sentence: str) -> Words | None:
    lines = point.decoded or []
    return compared(sentence, lines[number]) if number < len(lines) else None
