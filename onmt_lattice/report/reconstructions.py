"""The same sentences as decoded at several rates, side by side."""

from __future__ import annotations

from difflib import SequenceMatcher

from onmt_lattice.report.curves import by_seed
from onmt_lattice.report.markup import Markup, details, element, joined, table
from onmt_lattice.report.results import READINGS, Point, Results

POINTS = 4  # of a curve
OPEN = 2  # sentences to show before anything is unfolded


def reconstructions(results: Results) -> Markup | None:
    """Return a table for each of the first sentences, a row a curve, rates from low to high.

    Returns None if no checkpoint decoded the text.
    """
    points = {name: decoded_points(results, name) for name in results.curves}
    points = {name: chosen for name, chosen in points.items() if chosen}
    if not points:
        return None
    columns = max(map(len, points.values()))
    return joined(
        details(
            element("span", sentence, class_="sentence"),
            table(
                ["curve", "low to high rate", *[""] * (columns - 1)],
                [
                    [name, *(_cell(point, number, sentence) for point in chosen)]
                    + [""] * (columns - len(chosen))
                    for name, chosen in points.items()
                ],
                "l" + "w" * columns,
            ),
            open_=number < OPEN,
        )
        for number, sentence in enumerate(results.inputs)
        if sentence.strip()
    )


def decoded_points(results: Results, curve: str) -> list[Point]:
    """Return up to ``POINTS`` decoded points of ``curve``, evenly spaced, from low rate to high.

    All are of one seed, the first that has any, and of one reading: fixed λ where it has any.
    """
    for reading in READINGS:
        for _, marks in sorted(by_seed(results, curve, reading).items()):
            decoded = [mark.point for mark in marks if mark.point.decoded is not None]
            if decoded:
                decoded.sort(key=lambda point: point.evaluation.rate.word)
                count = min(POINTS, len(decoded))
                last = len(decoded) - 1
                return [decoded[round(i * last / max(count - 1, 1))] for i in range(count)]
    return []


def marked(sentence: str, decoded: str) -> Markup:
    """Return ``decoded`` with the words marked that ``sentence`` does not have in their place.

    >>> marked("the cat sat there", "the old cat sat here")
    'the <mark>old</mark> cat sat <mark>here</mark>'
    """
    here, there = decoded.split(), sentence.split()
    matcher = SequenceMatcher(None, there, here, autojunk=False)
    parts: list[object] = []
    for kind, _, _, start, end in matcher.get_opcodes():
        words = " ".join(here[start:end])
        if words:
            parts.append(words if kind == "equal" else element("mark", words))
    return joined(parts, " ")


def _cell(point: Point, number: int, sentence: str) -> Markup:
    bits = f"rate {point.evaluation.rate.word:.2f}, NLL {point.evaluation.nll.word:.2f}"
    lines = point.decoded or []
    text = marked(sentence, lines[number]) if number < len(lines) else "–"
    return element("div", element("small", bits), element("p", text))
