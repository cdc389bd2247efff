from __future__ import annotations

from dataclasses import replace

import pytest
from html_page import HtmlPage
from made_up_results import INPUTS, annealed, fixed, sweep

from onmt_lattice.experiments.report.curves import by_seed
from onmt_lattice.experiments.report.page import page
from onmt_lattice.experiments.report.reconstructions import (
    POINTS,
    compared,
    decoded_points,
    reconstructions,
)
from onmt_lattice.experiments.report.results import Results


@pytest.mark.parametrize(
    ("sentence", "decoded", "other"),
    [
        ("the old cat sat", "the old cat sat", []),
        ("the old cat sat", "the old and grey cat sat", ["and grey"]),
        ("the old cat sat", "the old", []),
        ("a man", "two dogs", ["two dogs"]),
        ("", "the <end>", ["the <end>"]),
        ("x & y", "x & z", ["z"]),
        ("a", "", []),
    ],
)
def test_words_out_of_place_are_told(sentence: str, decoded: str, other: list[str]) -> None:
    parts = compared(sentence, decoded)
    assert " ".join(words for words, _ in parts) == decoded
    assert [words for words, kept in parts if not kept] == other


def without_runs(results: Results, *runs: object) -> Results:
    return replace(results, runs=list(runs))


def test_points_go_from_low_rate_to_high() -> None:
    """Five are decoded; the lowest and the highest rate are among the four shown."""
    results = sweep()
    for name in results.curves:
        rates = [point.evaluation.rate.word for point in decoded_points(results, name)]
        every = [mark.rate for mark in by_seed(results, name, "fixed")[1]]
        assert rates == sorted(rates) and len(set(rates)) == POINTS < len(every)
        assert (rates[0], rates[-1]) == (min(every), max(every))


def test_annealed_points_stand_in_for_fixed_ones() -> None:
    run = annealed("gaussian", 1)
    points = decoded_points(without_runs(sweep(), run), "gaussian")
    assert sorted(p.step for p in points) == [300, 400]
    both = without_runs(sweep(), run, fixed("gaussian", 0.2, 2))
    assert [p.evaluation.rate_weight for p in decoded_points(both, "gaussian")] == [0.2]


def test_a_seed_without_decoded_points_is_passed_over() -> None:
    first, second = fixed("Z", 0.1, 1), fixed("Z", 0.1, 2)
    plain = replace(first, points=[replace(first.points[0], decoded=None)])
    assert decoded_points(without_runs(sweep(), plain, second), "Z") == second.points
    assert decoded_points(without_runs(sweep(), plain), "Z") == []
    assert reconstructions(without_runs(sweep(), plain)) == []


def test_each_sentence_as_every_point_decoded_it() -> None:
    """The empty line is left out."""
    results = sweep()
    made = reconstructions(results)
    assert [sentence.text for sentence in made] == [line for line in INPUTS if line]
    for number, sentence in enumerate(made):
        assert list(sentence.rows) == list(results.curves) and sentence.most == POINTS
        for name, cells in sentence.rows.items():
            points = decoded_points(results, name)
            assert [evaluation for evaluation, _ in cells] == [p.evaluation for p in points]
            for point, (_, parts) in zip(points, cells, strict=True):
                assert point.decoded is not None and parts is not None
                assert " ".join(words for words, _ in parts) == point.decoded[number]


def test_the_page_marks_words_and_fills_short_rows() -> None:
    """Curves of fewer points leave cells empty; a line that is missing is a dash."""
    gaussians = [fixed("gaussian", weight, 1) for weight in (0.1, 0.2, 0.3)]
    last = gaussians[-1]
    gaussians[-1] = replace(last, points=[replace(last.points[0], decoded=["a <man>"])])
    results = without_runs(sweep(), *gaussians, fixed("Z", 0.1, 1))
    found = HtmlPage(page(results))
    rows = [row for row in found.rows if len(row) == 4 and row[1].text.startswith("rate ")]
    assert [row[0].text for row in rows] == ["gaussian", "Z"] * 2
    assert [[cell.text for cell in row[2:]] for row in rows if row[0].text == "Z"] == [["", ""]] * 2
    assert rows[0][1].text.endswith("a <man>") and rows[2][1].text.endswith("–")
    assert len(found.named("mark")) >= 3
