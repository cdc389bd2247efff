"""The results of a sweep as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from onmt_lattice.evaluation.result import TOKEN, WORD, Evaluation
from onmt_lattice.experiments.report.comparison import tables, text
from onmt_lattice.experiments.report.curves import Mark, by_seed
from onmt_lattice.experiments.report.figure import figure, gids, of_curve, trajectories
from onmt_lattice.experiments.report.inline_svg import inline_svg
from onmt_lattice.experiments.report.lossy import (
    bytes_a_sentence,
    decoded,
    point_gids,
    rate_distortion,
    rate_distortion_table,
)
from onmt_lattice.experiments.report.plotting import save
from onmt_lattice.experiments.report.results import (
    FAILED,
    FINISHED,
    FIXED,
    SCHEDULES,
    Point,
    Results,
    RunResult,
)
from onmt_lattice.experiments.tables import Cell, Table, show
from onmt_lattice.files import write_text

FIGURE = (
    "Rate against NLL in bits per {}, a point for every evaluated checkpoint. The same numbers are "
    "in the tables below."
)
BYTES = (
    "Bytes per sentence against BLEU and chrF of the sentences that come back. The same numbers "
    "are in the table below."
)
TRAJECTORIES = "λ, NLL and rate at each training step, one row of panels per curve."
POINTS = 4  # of a curve whose reconstructions are shown
SMALL = Markup("{} <small>{}</small>")


def page(results: Results) -> str:
    """Return ``results`` as an HTML page, which loads nothing and runs nothing.

    Where no run has been evaluated yet it shows the runs alone.
    """
    order = list(results.curves)
    return _template().render(
        title=f"Rate against NLL on {Path(results.text).name}",
        results=results,
        per=results.per,
        failed=[run for run in results.runs if run.record.status == FAILED],
        unfinished=[run for run in results.runs if run.record.status not in (FAILED, FINISHED)],
        ordered=sorted(results.runs, key=lambda r: (order.index(r.curve), r.schedule != FIXED)),
        figure=_figure(results),
        bytes=_bytes(results),
        tables=[_table(compared) for compared in tables(results)],
        sentences=reconstructions(results),
        courses=_courses(results),
    )


@cache
def _template() -> Template:
    """Return the page's template, which escapes all text."""
    loader = PackageLoader("onmt_lattice.experiments.report", "")
    extensions = ["jinja2.ext.do"]
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, extensions=extensions
    )
    return environment.get_template("page.html")


def _figure(results: Results) -> Markup | None:
    points = [(run, point) for run in results.runs for point in run.points]
    titles = {Mark(*each).gid: hover(*each, results.per) for each in points}
    return _svg(figure, results, "rate-nll", FIGURE.format(results.per), titles)


def _bytes(results: Results) -> dict[str, Any] | None:
    """Return figure and table of bytes and reconstructions; None where there are none."""
    marks = [Mark(run, point) for run in decoded(results).runs for point in run.points]
    titles = {gid: hover_bytes(*mark) for mark in marks for gid in point_gids(mark)}
    svg = _svg(rate_distortion, results, "rate-distortion", BYTES, titles)
    return None if svg is None else {"figure": svg, "table": _table(rate_distortion_table(results))}


def _courses(results: Results) -> Markup | None:
    runs = [run for name in results.curves for run in of_curve(results, name)]
    titles = {gid: _hover_course(run) for run in runs for gid in gids(run)}
    return _svg(trajectories, results, "courses", TRAJECTORIES, titles)


def _svg(
    draw: Callable[[Results], Figure],
    results: Results,
    prefix: str,
    label: str,
    titles: dict[str, str],
) -> Markup | None:
    """Return the figure of ``results`` with ``titles`` by gid; None without any."""
    return Markup(inline_svg(draw(results), prefix, label, titles)) if titles else None


def hover(run: RunResult, point: Point, per: str) -> str:
    """Return the text of a point of the figure."""
    e = point.evaluation
    bits = f"NLL {e.nll.word:.3f} + rate {e.rate.word:.3f} = {e.total.word:.3f} bits per {per}"
    bleu = "" if e.reconstruction is None else f"\nBLEU {e.reconstruction.bleu:.1f}"
    return f"{_which(run, point)}\n{bits}{bleu}"


def hover_bytes(run: RunResult, point: Point) -> str:
    """Return the text of a point of the figure of bytes."""
    e, back = point.evaluation, point.evaluation.reconstruction
    assert back is not None
    origin = " by its rate" if e.coded is None else ", of the whole file"
    scores = f"BLEU {back.bleu:.1f}, chrF {back.chrf:.1f}"
    size = f"{bytes_a_sentence(e):.2f} bytes per sentence{origin}"
    exact = f"{100 * back.exact:.1f} % come back exactly"
    return f"{_which(run, point)}\n{size}\n{scores}, {exact}"


def _hover_course(run: RunResult) -> str:
    step, weight, nll, rate = run.history[-1]
    last = f"step {step:.0f}: λ {weight:.4g}, NLL {nll:.3f}, rate {rate:.3f} bits per token"
    return f"{_title(run)}\n{last}"


def _which(run: RunResult, point: Point) -> str:
    return f"{_title(run)}\nstep {point.step}, λ {point.evaluation.rate_weight:.4g}"


def _title(run: RunResult) -> str:
    varied = f", {run.varied}" if run.values else ""
    return f"{run.curve}, {run.schedule} λ{varied}, seed {run.seed}"


def _table(compared: Table) -> dict[str, Any]:
    """Return a table for the template: columns of words are aligned left, others right."""
    rows = [[getattr(row, field) for field in compared.columns] for row in compared.rows]
    columns = [
        (column.heading, "l" if any(isinstance(row[i], str) for row in rows) else "r")
        for i, column in enumerate(compared.columns.values())
    ]
    forms = [column.form for column in compared.columns.values()]
    return {
        "title": compared.title[:1].upper() + compared.title[1:],
        "columns": columns,
        "rows": [[_shown(*cell) for cell in zip(row, forms, strict=True)] for row in rows],
        "notes": compared.notes,
    }


def _shown(cell: object, form: str) -> str:
    """Return a cell of a table; the range behind a mean is small, and may go below it."""
    text = show(cell, form)
    mean, space, ends = text.partition(" ")
    return SMALL.format(mean, ends) if isinstance(cell, Cell) and space else text


# ---- reconstructions ----------------------------------------------------------------------------

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


# ---- files --------------------------------------------------------------------------------------

RESULTS, TABLE, REPORT = "results.json", "table.txt", "report.html"
FIGURES = ("figure3.png", "figure3.svg", "figure3.pdf")


def write(results: Results, folder: Path, per: str = WORD) -> None:
    """Write the results, and :func:`redraw` them."""
    results.write(folder / RESULTS)
    redraw(folder / RESULTS, folder, per)


def redraw(path: Path, folder: Path, per: str = WORD) -> Results:
    """Draw the results at ``path``: table and report, and the figure once there is a point.

    Costs are ``per`` word or token.
    """
    results = Results.read(path)
    if (folder / RESULTS).resolve() != path.resolve():
        results.write(folder / RESULTS)
    if per == TOKEN:
        results = results.per_token()
    if any(run.points for run in results.runs):
        for name in FIGURES:
            save(figure(results), folder / name)
    write_text(folder / TABLE, text(results) + "\n")
    write_text(folder / REPORT, page(results))
    return results
