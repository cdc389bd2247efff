"""The outcome of a sweep as one HTML page that needs nothing else."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from pathlib import Path
from string import Template

from onmt_lattice.files import write_text
from onmt_lattice.report.comparison import tables
from onmt_lattice.report.curves import Mark
from onmt_lattice.report.figure import figure
from onmt_lattice.report.inline_svg import inline_svg
from onmt_lattice.report.markup import Markup, details, element, joined, markup, section, table
from onmt_lattice.report.reconstructions import reconstructions
from onmt_lattice.report.results import FAILED, FINISHED, FIXED, Point, Results, RunResult
from onmt_lattice.report.trajectories import gids, of_curve, trajectories
from onmt_lattice.tables import Cell, Table, show

READING = (
    "Every point is a trained model: across, the NLL, the bits a whitespace word that the decoder "
    "still misses; up, the rate, the bits a word that the representation costs. Lower left is "
    "better. Curves are held against each other at fixed λ and equal steps; along an annealed run "
    "λ and training time grow together, so its shape comes from both."
)
FIGURE = (
    "Rate against NLL in bits a word, a point for every evaluated checkpoint; the numbers are in "
    "the tables below."
)
TRAJECTORIES = "λ, NLL and rate against the training step, a row of panels for every curve."


def write_page(results: Results, path: Path) -> None:
    """Write ``results`` as a self-contained HTML page, whole or not at all.

    The page loads nothing and runs nothing. Where no run has been evaluated yet it says so, and
    shows what is known of the runs.
    """
    write_text(path, page(results))


def page(results: Results) -> str:
    """Return the whole page."""
    template = (resources.files("onmt_lattice.report") / "page.html").read_text(encoding="utf-8")
    sections = [_troubles(results)]
    if any(run.points for run in results.runs):
        sections += [
            _figure(results),
            *map(_table, tables(results)),
            _points(results),
            _reconstructions(results),
            _codebooks(results),
        ]
    else:
        text = "No checkpoint has been evaluated yet: there is nothing to draw or compare."
        sections += [section("No points yet", element("p", text))]
    sections += [_trajectories(results), _settings(results)]
    title = f"Rate against NLL on {Path(results.text).name}"
    head = [element("h1", title), element("p", READING, class_="lead"), _facts(results)]
    body = joined([element("header", *head), *filter(None, sections)], "\n")
    return Template(template).substitute(title=element("title", title), body=body)


def _facts(results: Results) -> Markup:
    counts = Counter(run.record.status for run in results.runs)
    states = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    minutes = sum(run.record.seconds for run in results.runs) / 60
    facts = {
        "Sweep": results.config,
        "Evaluated on": results.text,
        "Curves": ", ".join(results.curves),
        "Seeds": ", ".join(map(str, sorted({run.seed for run in results.runs}))),
        "Runs": f"{len(results.runs)}: {states}; {minutes:.0f} minutes, all together",
    }
    pairs = [(element("dt", name), element("dd", value)) for name, value in facts.items()]
    return element("dl", *(part for pair in pairs for part in pair))


def _troubles(results: Results) -> Markup | None:
    """Return what failed with its error, and what is not finished."""
    failed = [run for run in results.runs if run.record.status == FAILED]
    open_ = [run for run in results.runs if run.record.status not in (FAILED, FINISHED)]
    parts: list[Markup] = []
    if failed:
        parts.append(element("h2", f"{_count(len(failed), 'run')} failed"))
        parts += [_failure(run) for run in failed]
    if open_:
        parts.append(element("h2", f"{_count(len(open_), 'run')} not finished"))
        names = ", ".join(f"{run.name} ({run.record.status})" for run in open_)
        parts.append(details("Their points are missing, or not the last", element("p", names)))
    if not parts:
        return None
    return element("section", *parts, class_="alarm" if failed else "notice")


def _failure(run: RunResult) -> Markup:
    record, points = run.record, len(run.points)
    summary = (
        f"{run.name}: after {_count(record.attempts, 'attempt')}, with {_count(points, 'point')}"
    )
    return details(summary, element("pre", record.error or "no error was recorded"))


def _figure(results: Results) -> Markup:
    titles = {
        Mark(run, point).gid: hover(run, point) for run in results.runs for point in run.points
    }
    svg = Markup(inline_svg(figure(results), "rate-nll", FIGURE, titles))
    caption = (
        "The values of a point show while the mouse rests on it; those of all are in a table below."
    )
    return section("Figure", element("figure", svg, element("figcaption", caption)))


def hover(run: RunResult, point: Point) -> str:
    """Return what a point of the figure says of itself."""
    e = point.evaluation
    lines = [
        f"{run.curve}, {_way(run)}, seed {run.seed}",
        f"step {point.step}, λ {e.rate_weight:.4g}",
        f"NLL {e.nll.word:.3f} + rate {e.rate.word:.3f} = {e.total.word:.3f} bits a word",
    ]
    if e.reconstruction is not None:
        lines.append(f"BLEU {e.reconstruction.bleu:.1f}")
    return "\n".join(lines)


def _table(compared: Table) -> Markup:
    columns = compared.columns.values()
    rows = [[getattr(row, field) for field in compared.columns] for row in compared.rows]
    words = [any(isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    cells = [
        [_shown(cell, column.form) for cell, column in zip(row, columns, strict=True)]
        for row in rows
    ]
    align = "".join("l" if left else "r" for left in words)
    return section(
        compared.title[:1].upper() + compared.title[1:],
        table([column.heading for column in columns], cells, align),
        *(element("p", note, class_="note") for note in compared.notes),
    )


def _shown(cell: object, form: str) -> Markup:
    """Return a cell of a table; the range behind a mean is small, and may go below it."""
    text = show(cell, form)
    if not isinstance(cell, Cell) or " [" not in text:
        return markup(text)
    mean, ends = text.split(" ", 1)
    return joined([mean, element("small", ends)], " ")


def _points(results: Results) -> Markup:
    headings = "curve,reading,differs in,seed,step,λ,NLL,rate,total,token accuracy,BLEU".split(",")
    rows = [_point_row(run, point) for run in _ordered(results) for point in run.points]
    note = element("p", "NLL, rate and total in bits a word.", class_="note")
    summary = f"{_count(len(rows), 'point')}, each seed by itself"
    return section("All points", details(summary, table(headings, rows, "lllrrrrrrrr"), note))


def _point_row(run: RunResult, point: Point) -> list[str]:
    e = point.evaluation
    bits = [f"{cost.word:.3f}" for cost in (e.nll, e.rate, e.total)]
    bleu = "–" if e.reconstruction is None else f"{e.reconstruction.bleu:.1f}"
    place = [*_name(run), str(point.step), f"{e.rate_weight:.4g}"]
    return [*place, *bits, f"{100 * e.token_accuracy:.1f}\u00a0%", bleu]


def _reconstructions(results: Results) -> Markup | None:
    found = reconstructions(results)
    note = (
        "The first sentences of the text, decoded from their quantized representation; of each "
        "curve one seed. Marked are the words that the sentence does not have in that place; rate "
        "and NLL are those of the whole text in bits a word."
    )
    return found and section("Reconstructions", element("p", note, class_="note"), found)


def _codebooks(results: Results) -> Markup | None:
    """Return how far each straight-through run uses its codebooks, at its last point."""
    rows = []
    for run in _ordered(results):
        used = run.points[-1].evaluation.codebooks if run.points else None
        if used is not None:
            shares = [used.perplexity / used.entries, used.lowest_perplexity / used.entries]
            cells = [_bar(share) for share in shares]
            rows.append([*_name(run), used.entries, *cells, f"{100 * used.unused:.1f}\u00a0%"])
    if not rows:
        return None
    note = (
        "Perplexity of the entries used over their number M, at the last point of each run: the "
        "mean over its codebooks and the lowest. It is 100 % where all entries are used equally "
        "often, 1/M where only one is."
    )
    headings = "curve,reading,differs in,seed,M,perplexity / M,lowest,entries unused".split(",")
    return section(
        "Codebook usage", table(headings, rows, "lllrrrrr"), element("p", note, class_="note")
    )


def _bar(share: float) -> Markup:
    percent = f"{100 * share:.1f}\u00a0%"
    return element("span", percent, class_="bar", style=f"--share: {100 * share:.1f}%")


def _trajectories(results: Results) -> Markup | None:
    runs = [run for name in results.curves for run in of_curve(results, name)]
    if not runs:
        return None
    titles = {gid: _course(run) for run in runs for gid in gids(run)}
    svg = Markup(inline_svg(trajectories(results), "courses", TRAJECTORIES, titles))
    caption = element(
        "figcaption",
        "As training reported them, on the training text and the relaxed channel: solid lines at "
        "fixed λ, dashed ones where λ is annealed.",
    )
    return section("Training", element("figure", svg, caption))


def _course(run: RunResult) -> str:
    step, weight, nll, rate = run.history[-1]
    last = f"step {step:.0f}: λ {weight:.4g}, NLL {nll:.3f}, rate {rate:.3f} bits a token"
    return f"{run.curve}, {_way(run)}, seed {run.seed}\n{last}"


def _settings(results: Results) -> Markup:
    curves = [
        [name, ", ".join(f"{key}: {value}" for key, value in options.items())]
        for name, options in results.curves.items()
    ]
    runs = [
        [
            *(run.name, run.record.status, run.record.attempts),
            *(f"{run.record.seconds / 60:.1f}", "–" if run.dim is None else run.dim),
            element("code", run.command),
        ]
        for run in results.runs
    ]
    headings = "run,status,attempts,minutes,d,command that trains it".split(",")
    return section(
        "Settings",
        table(["curve", "options"], curves, "lw"),
        details("All runs, their time and command lines", table(headings, runs, "llrrrl")),
        details("Versions", table(["software", "version"], results.versions.items(), "ll")),
    )


def _ordered(results: Results) -> list[RunResult]:
    """Return the runs by curve and reading."""
    curves = list(results.curves)
    return sorted(results.runs, key=lambda run: (curves.index(run.curve), run.reading != FIXED))


def _name(run: RunResult) -> list[str]:
    return [run.curve, run.reading, run.varied or "–", str(run.seed)]


def _way(run: RunResult) -> str:
    return f"{run.reading} λ" + (f", {run.varied}" if run.values else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
