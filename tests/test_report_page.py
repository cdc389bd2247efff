"""The report of a sweep: one page of HTML that holds everything and needs nothing."""

from __future__ import annotations

import html
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from html_page import HtmlPage, browser, opened
from made_up_results import INPUTS, WEIGHTS, coded, sweep, whole_run, whole_sweep
from matplotlib.figure import Figure

from onmt_lattice.evaluation.result import Bits
from onmt_lattice.experiments.report.comparison import tables
from onmt_lattice.experiments.report.inline_svg import HIT_RADIUS, inline_svg
from onmt_lattice.experiments.report.lossy import rate_distortion_table
from onmt_lattice.experiments.report.page import hover_bytes, page
from onmt_lattice.experiments.report.results import FAILED, Record, RunResult
from onmt_lattice.experiments.tables import show

FIGURE, POINTS, BYTES = "Figure", "All points", "How much comes back from how many bytes"
TEXTS, BOOKS, COURSES = "Reconstructions", "Codebook usage", "Training"
HEADINGS = {FIGURE, POINTS, BYTES, TEXTS, BOOKS, COURSES}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a sweep with everything in it."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(whole_sweep()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def found(report: Path) -> HtmlPage:
    """The report taken apart, which checks that it is well-formed."""
    return HtmlPage(report.read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else_and_runs_nothing(found: HtmlPage) -> None:
    ids, targets = found.ids(), found.references()
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    assert all(target.startswith("#") for target in targets)
    assert "http" not in found.html and "@import" not in found.html
    names = {tag.name for tag in found.tags}
    assert not names & {"script", "link", "base", "iframe", "object", "embed", "img", "image"}
    assert not any(key.startswith("on") for tag in found.tags for key in tag.attributes)


def test_every_point_says_its_values(found: HtmlPage) -> None:
    for run in whole_sweep().runs:
        for point in run.points:
            e = point.evaluation
            said = found.titles[f"rate-nll-point-{run.name}-{point.step}"]
            numbers = e.nll.word, e.rate.word, e.total.word
            assert "NLL {:.3f} + rate {:.3f} = {:.3f} bits per word".format(*numbers) in said
            assert said.startswith(run.curve) and f"\nstep {point.step}, λ {e.rate_weight}" in said
            assert ("BLEU" in said) == (e.reconstruction is not None)
    run = whole_run("Z", 2, 0.1)
    (point,) = run.points
    size = point.evaluation.rate.sentence / 8
    assert hover_bytes(run, point).splitlines() == [
        *("Z, fixed λ, rate_weight 0.1, seed 2", "step 400, λ 0.1"),
        f"{size:.2f} bytes per sentence by its rate",
        "BLEU 40.0, chrF 50.0, 10.0 % come back exactly",
    ]
    assert "\n12.50 bytes per sentence, of the whole" in hover_bytes(run, coded(point, 10_000))


def test_failed_and_unfinished_runs_come_first(found: HtmlPage) -> None:
    assert found.html.index("1 run failed") < found.html.index("<svg")
    first = found.text[: found.text.index(FIGURE)]
    assert "Z_0.8_seed1: after 2 attempts, with 0 points" in first
    assert "ValueError: <loss> & gradient are nan" in first  # the parser undid an escape
    assert "Z_0.9_seed1 (waiting)" in first


def test_texts_are_escaped(found: HtmlPage) -> None:
    assert not {tag.name for tag in found.tags} & {"b", "i", "loss"}
    assert all(line in found.text for line in INPUTS)


def test_every_table_run_curve_and_version_is_there(found: HtmlPage) -> None:
    results = whole_sweep()
    for made in [*tables(results), rate_distortion_table(results)]:
        assert made.title[1:] in found.text and all(note in found.text for note in made.notes)
        for row in made.rows:
            assert [
                show(getattr(row, name), c.form) for name, c in made.columns.items()
            ] in found.rows
    for run in results.runs:
        (row,) = [row for row in found.rows if row[0] == run.name]
        assert (row[1], row[-1]) == (run.record.status, run.command)
    for name, options in results.curves.items():
        assert [name, ", ".join(f"{key}: {value}" for key, value in options.items())] in found.rows
    assert all([*version] in found.rows for version in results.versions.items())


def test_codebook_usage_is_a_share_of_the_entries(found: HtmlPage) -> None:
    """M is 2 and the perplexity 1.9 less λ; the lowest 1.2; 5 % of the entries are unused."""
    rows = [row[-3:] for row in found.rows if "5.0\u00a0%" in row[-1]]
    shares = [f"{50 * (1.9 - w):.1f}\u00a0%" for w in WEIGHTS]
    assert rows == [[share, "60.0\u00a0%", "5.0\u00a0%"] for share in 2 * shares]


def bare(run: RunResult) -> RunResult:
    """Return ``run`` without decoded texts and without a history."""
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


KILLED = replace(whole_run("gaussian", 1), record=Record(FAILED, attempts=1, error="killed"))
GAUSSIAN, Z = whole_run("gaussian", 1, 0.1), whole_run("Z", 1, 0.1)
PARTS: dict[str, tuple[list[RunResult], set[str]]] = {
    "one point, no reference": ([Z], {BOOKS}),
    "nothing with a code, a run that failed later": ([KILLED], {BOOKS, BYTES}),
    "nothing decoded, no history": ([bare(GAUSSIAN), bare(Z)], {BOOKS, BYTES, TEXTS, COURSES}),
    "a diverged run": ([diverged(GAUSSIAN), whole_run("gaussian", 1, 0.2)], {BOOKS, BYTES}),
    "no point": (whole_sweep().runs[-2:], HEADINGS),
    "no run": ([], HEADINGS),
}


@pytest.mark.parametrize("case", PARTS)
def test_parts_without_anything_to_show_are_left_out(case: str) -> None:
    runs, missing = PARTS[case]
    found = HtmlPage(page(sweep(runs)))
    present = {html.unescape(title) for title in re.findall(r"<h2>(.*?)</h2>", found.html)}
    assert HEADINGS - present == missing
    assert ("No points yet" in present) == (FIGURE in missing)
    points = [gid for gid in found.titles if gid.startswith("rate-nll-point-")]
    assert len(points) == sum(len(run.points) for run in runs)


def test_a_figure_in_the_page_says_what_the_mouse_is_on_in_colours_of_its_scheme() -> None:
    """The hit area has the place of the marker, whatever kind of artist drew it."""
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.plot([1], [2], marker="o", color="#0072B2", linestyle="none", gid="point-a")
    axes.scatter([2], [1], color="0.5", gid="point-b")
    titles = {"point-a": "first\n2 < 3 & 4", "point-b": "second"}
    svg = inline_svg(figure, "one", 'what it "shows"', titles)
    found = HtmlPage(svg)
    assert found.titles == {f"one-{gid}": title for gid, title in titles.items()}
    assert found.named("svg")[0].attributes["aria-label"] == 'what it "shows"'
    for gid in titles:
        group = re.search(rf'<g id="one-{gid}".*?<circle [^>]*>', svg, re.DOTALL)
        assert group is not None
        use = re.search(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', group[0])
        circle = re.search(r'<circle class="hit" cx="([\d.]+)" cy="([\d.]+)" r="(\d+)"', group[0])
        assert use is not None and circle is not None
        assert circle.groups() == (*use.groups(), str(HIT_RADIUS))
    for paint in ("var(--paper) 0%", "var(--paper) 100%", "#0072b2 var(--vivid)"):
        assert f"color-mix(in srgb, {paint}, var(--ink))" in svg
    assert not re.search(r"(fill|stroke): #", svg)
    with pytest.raises(KeyError, match="'point-c'"):
        inline_svg(figure, "one", "", {"point-c": "absent"})


@pytest.mark.skipif(browser() is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [1200, 500])
def test_chromium_opens_it_without_a_word(report: Path, found: HtmlPage, width: int) -> None:
    """Nothing is said to the console, nothing is wider than the window, the figures are there."""
    status, console, dom = opened(report, width)
    assert (status, console) == (0, [])
    for name in ("figure", "hit", "bar"):
        assert len(HtmlPage(dom).of_class(name)) == len(found.of_class(name)) > 0
