from __future__ import annotations

from dataclasses import replace

import pytest
from html_page import HtmlPage
from made_up_results import INPUTS, sweep, whole_run, whole_sweep

from onmt_lattice.experiments.report.curves import by_seed
from onmt_lattice.experiments.report.page import (
    POINTS,
    compared,
    decoded_points,
    page,
    reconstructions,
)


@pytest.mark.parametrize(
    ("sentence", "decoded", "other"),
    [
        ("the old cat sat", "the old and grey cat sat", ["and grey"]),
        ("the old cat sat", "the old", []),
        ("a man", "two dogs", ["two dogs"]),
        ("", "the <end>", ["the <end>"]),
        ("a", "", []),
    ],
)
def test_words_out_of_place_are_marked(sentence: str, decoded: str, other: list[str]) -> None:
    parts = compared(sentence, decoded)
    assert " ".join(words for words, _ in parts) == decoded
    assert [words for words, kept in parts if not kept] == other


def test_each_sentence_as_points_from_the_lowest_rate_to_the_highest_decoded_it() -> None:
    """Five are decoded and four shown; the empty line is skipped."""
    results = whole_sweep()
    made = reconstructions(results)
    assert [sentence.text for sentence in made] == [line for line in INPUTS if line]
    for name in results.curves:
        points = decoded_points(results, name)
        rates = [point.evaluation.rate.word for point in points]
        every = [mark.rate for mark in by_seed(results, name, "fixed")[1]]
        assert rates == sorted(rates) and len(set(rates)) == POINTS < len(every)
        assert (rates[0], rates[-1]) == (min(every), max(every))
        for number, sentence in enumerate(made):
            for point, (evaluation, parts) in zip(points, sentence.rows[name], strict=True):
                assert point.decoded is not None and evaluation is point.evaluation
                assert " ".join(words for words, _ in parts or []) == point.decoded[number]


def test_annealed_points_and_later_seeds_stand_in_for_what_was_not_decoded() -> None:
    run, first, second = whole_run("Z", 1), whole_run("Z", 1, 0.1), whole_run("Z", 2, 0.1)
    assert [p.step for p in decoded_points(sweep([run]), "Z")] == [400, 300]
    assert decoded_points(sweep([run, first]), "Z") == first.points
    plain = replace(first, points=[replace(first.points[0], decoded=None)])
    assert decoded_points(sweep([plain, second]), "Z") == second.points
    assert reconstructions(sweep([plain])) == []


def test_the_page_marks_words_and_fills_short_rows() -> None:
    """Curves of fewer points leave cells empty; a line that is missing is a dash."""
    runs = [whole_run("gaussian", 1, weight) for weight in (0.1, 0.2, 0.3)]
    runs[-1] = replace(runs[-1], points=[replace(runs[-1].points[0], decoded=["a <man>"])])
    found = HtmlPage(page(sweep([*runs, whole_run("Z", 1, 0.1)])))
    rows = [row for row in found.rows if len(row) == 4 and row[1].startswith("rate ")]
    assert [row[0] for row in rows] == ["gaussian", "Z"] * 2
    assert [row[2:] for row in rows if row[0] == "Z"] == [["", ""]] * 2
    assert rows[0][1].endswith("a <man>") and rows[2][1].endswith("–")
    assert len(found.named("mark")) >= 3
