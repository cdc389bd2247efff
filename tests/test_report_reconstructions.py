from __future__ import annotations

from dataclasses import replace

import pytest
from html_page import HtmlPage
from made_up_results import INPUTS, annealed, fixed, sweep

from onmt_lattice.report.curves import by_seed
from onmt_lattice.report.reconstructions import POINTS, decoded_points, marked, reconstructions
from onmt_lattice.report.results import Results


@pytest.mark.parametrize(
    ("sentence", "decoded", "expected"),
    [
        ("the old cat sat", "the old cat sat", "the old cat sat"),
        ("the old cat sat", "the old and grey cat sat", "the old <mark>and grey</mark> cat sat"),
        ("the old cat sat", "the old", "the old"),
        ("a man", "two dogs", "<mark>two dogs</mark>"),
        ("", "the <end>", "<mark>the &lt;end&gt;</mark>"),
        ("x & y", "x & z", "x &amp; <mark>z</mark>"),
        ("a", "", ""),
    ],
)
def test_words_out_of_place_are_marked(sentence: str, decoded: str, expected: str) -> None:
    made = marked(sentence, decoded)
    assert made == expected
    assert HtmlPage(made).text == decoded


@pytest.mark.parametrize(("sentence", "decoded"), [("a b", "b a"), ("a a b", "a a a b")])
def test_one_word_too_many_is_one_mark(sentence: str, decoded: str) -> None:
    """Which of two equal choices is marked is left open."""
    made = marked(sentence, decoded)
    assert HtmlPage(made).text == decoded
    assert len(HtmlPage(made).named("mark")) == 1


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
    assert reconstructions(without_runs(sweep(), plain)) is None


def test_a_table_for_each_sentence() -> None:
    """The empty line has none; every curve has a row with a cell a point."""
    results = sweep()
    made = reconstructions(results)
    assert made is not None
    page = HtmlPage(made)
    assert [line for line in INPUTS if not line] == [""]
    assert len(page.named("table")) == len(page.named("summary")) == len(INPUTS) - 1
    rows = (len(INPUTS) - 1) * len(results.curves)
    assert len(page.named("td")) == rows * (POINTS + 1)
    assert len(page.named("small")) == rows * POINTS
    for line in INPUTS:
        assert line in page.text


def test_short_rows_and_missing_lines() -> None:
    """Curves of fewer points leave cells empty, and so do texts of fewer lines."""
    gaussians = [fixed("gaussian", weight, 1) for weight in (0.1, 0.2, 0.3)]
    last = gaussians[-1]
    gaussians[-1] = replace(last, points=[replace(last.points[0], decoded=["a man"])])
    made = reconstructions(without_runs(sweep(), *gaussians, fixed("Z", 0.1, 1)))
    assert made is not None
    page = HtmlPage(made)
    assert len(page.named("td")) == 2 * 2 * (3 + 1)
    assert page.text.count("–") == 1
