from __future__ import annotations

import html
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from html_page import HtmlPage, browser, opened
from made_up_results import CURVES, INPUTS, annealed, coded, fixed, sweep

from onmt_lattice.evaluation.result import Bits
from onmt_lattice.experiments.report.comparison import tables
from onmt_lattice.experiments.report.curves import Mark
from onmt_lattice.experiments.report.page import hover, hover_bytes, page
from onmt_lattice.experiments.report.rate_distortion import (
    decoded,
    point_gids,
    rate_distortion_table,
)
from onmt_lattice.experiments.report.results import FAILED, Record, Results, RunResult
from onmt_lattice.experiments.tables import show

HEADINGS = [
    *(
        "Figure",
        "How much comes back from how many bytes",
        "All points",
        "Reconstructions",
        "Codebook usage",
    ),
    *("Training", "Settings"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a sweep with everything in it."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(sweep()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def found(report: Path) -> HtmlPage:
    """The report taken apart, which checks that it is well-formed."""
    return HtmlPage(report.read_text(encoding="utf-8"))


def headings(found: HtmlPage) -> list[str]:
    return [html.unescape(title) for title in re.findall(r"<h2>(.*?)</h2>", found.html)]


def test_the_page_needs_nothing_else(found: HtmlPage) -> None:
    """Whatever it refers to is a part of it, and it runs nothing."""
    assert all(target.startswith("#") for target in found.references())
    assert "http" not in found.html and "@import" not in found.html
    names = {tag.name for tag in found.tags}
    assert not names & {"script", "link", "base", "iframe", "object", "embed", "img", "image"}
    assert not any(key.startswith("on") for tag in found.tags for key in tag.attributes)


def test_ids_are_unique_and_references_resolve(found: HtmlPage) -> None:
    ids = found.ids()
    assert len(found.of_class("figure")) == 3
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in found.references()} <= set(ids)


def test_sections(found: HtmlPage) -> None:
    assert headings(found)[:2] == ["1 run failed", "1 run not finished"]
    assert [heading for heading in headings(found) if heading in HEADINGS] == HEADINGS


def test_what_was_swept(found: HtmlPage) -> None:
    results = sweep()
    facts = re.findall(r"<dd>(.*?)</dd>", found.html)
    assert facts[:2] == [results.config, results.text]
    assert facts[2:4] == [", ".join(CURVES), "1, 2"]
    minutes = 42 * 1.5 + 31 / 60
    assert facts[4] == f"44: 1 failed, 42 finished, 1 waiting; {minutes:.0f} minutes in total"


def test_every_point_says_its_values(found: HtmlPage) -> None:
    points = {(run.name, point.step): (run, point) for run in sweep().runs for point in run.points}
    assert len(points) == 48
    for (name, step), (run, point) in points.items():
        title = found.titles[f"rate-nll-point-{name}-{step}"]
        assert title == hover(run, point, "word")
    marks = [Mark(run, point) for run in decoded(sweep()).runs for point in run.points]
    for mark in marks:
        for gid in point_gids(mark):
            assert found.titles[f"rate-distortion-{gid}"] == hover_bytes(*mark)
    hits = [tag for tag in found.of_class("hit") if tag.name == "circle"]
    assert len(hits) == len(points) + 2 * len(marks)


def test_values_of_a_point() -> None:
    run = fixed("Z", 0.1, 2)
    bits = run.points[0].evaluation
    assert hover(run, run.points[0], "word").splitlines() == [
        "Z, fixed λ, rate_weight 0.1, seed 2",
        "step 400, λ 0.1",
        f"NLL {bits.nll.word:.3f} + rate {bits.rate.word:.3f} = {bits.total.word:.3f} bits "
        "per word",
        "BLEU 40.0",
    ]
    plain = annealed("gaussian", 1)
    assert hover(plain, plain.points[0], "word").splitlines()[:2] == [
        *("gaussian, annealed λ, seed 1", "step 100, λ 0.1")
    ]
    assert "BLEU" not in hover(plain, plain.points[0], "word")


def test_bytes_of_a_point_and_what_comes_back() -> None:
    run = fixed("Z", 0.1, 2)
    (point,) = run.points
    size = point.evaluation.rate.sentence / 8
    assert hover_bytes(run, point).splitlines() == [
        *("Z, fixed λ, rate_weight 0.1, seed 2", "step 400, λ 0.1"),
        f"{size:.2f} bytes per sentence by its rate",
        "BLEU 40.0, chrF 50.0, 10.0 % come back exactly",
    ]
    assert "\n12.50 bytes per sentence, of the whole file\n" in hover_bytes(
        run, coded(point, 10_000)
    )


def test_lines_of_training_say_their_run(found: HtmlPage) -> None:
    titles = [title for gid, title in found.titles.items() if gid.startswith("courses-history")]
    finished = [run for run in sweep().runs if run.history]
    assert len(titles) == 3 * len(finished)
    assert sum("Z, fixed λ, rate_weight 0.1, seed 2\nstep 400: λ 0.1, " in t for t in titles) == 3


def test_failed_and_unfinished_runs_come_first(found: HtmlPage) -> None:
    box = found.of_class("alarm")
    assert len(box) == 1
    begin = found.html.index('class="alarm"')
    text = HtmlPage(found.html[begin - 9 : found.html.index("</section>") + 10]).text
    assert begin < found.html.index("<svg")
    assert "Z_0.8_seed1: after 2 attempts, with 0 points" in text
    assert "ValueError: <loss> & gradient are nan" in text  # as escaped: the parser undid it
    assert "Z_0.9_seed1 (waiting)" in text


def test_texts_are_escaped(found: HtmlPage) -> None:
    assert not {tag.name for tag in found.tags} & {"b", "i", "loss"}
    for line in INPUTS:
        assert line in found.text


def test_tables_of_the_comparison(found: HtmlPage) -> None:
    """Each row is there with all its cells, words to the left and numbers to the right."""
    results = sweep()
    shown = [[(cell.text, cell.kind) for cell in row] for row in found.rows]
    for made in [*tables(results), rate_distortion_table(results)]:
        assert made.title[0].upper() + made.title[1:] in found.text
        for note in made.notes:
            assert note in found.text
        for row in made.rows:
            cells = {field: getattr(row, field) for field in made.columns}
            words = {field for field in cells if isinstance(getattr(made.rows[0], field), str)}
            assert [
                (show(cell, made.columns[field].form), "l" if field in words else "r")
                for field, cell in cells.items()
            ] in shown


def test_codebook_usage_is_a_share_of_the_entries(found: HtmlPage) -> None:
    """M is 2 and the perplexity 1.9 less λ; the lowest 1.2; 5 % of the entries are unused."""
    shares = [tag.attributes["style"] for tag in found.of_class("bar")]
    weights = [0.05, 0.1, 0.2, 0.3, 0.4] * 2
    expected = [(f"{50 * (1.9 - w):.1f}%", "60.0%") for w in weights]
    assert shares == [f"--share: {share}" for pair in expected for share in pair]
    assert [row[-1].text for row in found.rows].count("5.0\u00a0%") == len(weights)


def test_settings(found: HtmlPage) -> None:
    """The command of each run, the options of each curve and the versions are there to read."""
    results = sweep()
    shown = [[cell.text for cell in row] for row in found.rows]
    for run in results.runs:
        (row,) = [row for row in shown if row[0] == run.name]
        assert (row[1], row[-1]) == (run.record.status, run.command)
    for name, options in results.curves.items():
        assert [name, ", ".join(f"{key}: {value}" for key, value in options.items())] in shown
    for software, number in results.versions.items():
        assert [software, number] in shown


def only(*runs: RunResult) -> Results:
    """Return the results of a sweep of these runs alone."""
    return replace(sweep(), runs=list(runs))


def bare(run: RunResult) -> RunResult:
    """Return ``run`` without decoded texts, without codebooks and without a history."""
    points = [
        replace(p, evaluation=replace(p.evaluation, reconstruction=None), decoded=None)
        for p in run.points
    ]
    return replace(run, points=points, history=[])


def diverged(run: RunResult) -> RunResult:
    """Return ``run`` with an NLL that is no number."""
    nan = Bits(math.nan, math.nan, math.nan)
    points = [replace(p, evaluation=replace(p.evaluation, nll=nan, total=nan)) for p in run.points]
    return replace(run, points=points)


WITHOUT_POINTS = sweep().runs[-2:]


@pytest.mark.parametrize(
    ("results", "missing"),
    [
        pytest.param(only(fixed("Z", 0.1, 1)), {"Codebook usage"}, id="one point, no reference"),
        pytest.param(
            only(annealed("gaussian", 1)),
            {"Codebook usage", "How much comes back from how many bytes"},
            id="nothing fixed, nothing with a code",
        ),
        pytest.param(
            only(bare(fixed("gaussian", 0.1, 1)), bare(fixed("Z", 0.2, 1))),
            {
                "Codebook usage",
                "How much comes back from how many bytes",
                "Reconstructions",
                "Training",
            },
            id="nothing decoded, no history",
        ),
        pytest.param(
            only(diverged(fixed("gaussian", 0.1, 1)), fixed("gaussian", 0.2, 1)),
            {"Codebook usage", "How much comes back from how many bytes"},
            id="a diverged run",
        ),
        pytest.param(only(*WITHOUT_POINTS), {*HEADINGS} - {"Settings"}, id="no point"),
        pytest.param(only(), {*HEADINGS} - {"Settings"}, id="no run"),
    ],
)
def test_parts_without_anything_to_show_are_left_out(results: Results, missing: set[str]) -> None:
    found = HtmlPage(page(results))
    present = headings(found)
    assert set(HEADINGS) - set(present) == missing
    assert ("No points yet" in present) == ("Figure" in missing)
    names = {"alarm"} if results.runs and not results.runs[0].points else set()
    assert {name for name in ("alarm", "notice") if found.of_class(name)} == names


def test_a_partly_evaluated_run_that_failed_keeps_its_points() -> None:
    run = replace(annealed("gaussian", 1), record=Record(FAILED, attempts=1, error="killed"))
    found = HtmlPage(page(only(run)))
    assert "gaussian_annealed_seed1: after 1 attempt, with 4 points" in found.text
    assert len([gid for gid in found.titles if "point-" in gid]) == 4


needs_chromium = pytest.mark.skipif(browser() is None, reason="no Chromium is installed")


@needs_chromium
@pytest.mark.parametrize("width", [1200, 500])
def test_chromium_opens_it_without_a_word(report: Path, found: HtmlPage, width: int) -> None:
    """Nothing is said to the console, nothing is wider than the window, the figures are there."""
    status, console, dom = opened(report, width)
    assert (status, console) == (0, [])
    for name in ("figure", "hit", "bar"):
        assert len(HtmlPage(dom).of_class(name)) == len(found.of_class(name)) > 0
