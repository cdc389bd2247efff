"""All that is drawn of a sweep's results, in one folder."""

from __future__ import annotations

from pathlib import Path

from onmt_lattice.evaluation.result import TOKEN, WORD
from onmt_lattice.experiments.report.comparison import text
from onmt_lattice.experiments.report.figure import draw
from onmt_lattice.experiments.report.page import write_page
from onmt_lattice.experiments.report.results import Results
from onmt_lattice.files import write_text

RESULTS, TABLE, REPORT = "results.json", "table.txt", "report.html"
FIGURES = ("figure3.png", "figure3.svg", "figure3.pdf")


def write(results: Results, folder: Path, per: str = WORD) -> None:
    """Write the results, and draw of them what :func:`redraw` does."""
    results.write(folder / RESULTS)
    redraw(folder / RESULTS, folder, per)


def redraw(path: Path, folder: Path, per: str = WORD) -> Results:
    """Draw the results at ``path``: table and report, and the figure once there is a point.

    Costs are ``per`` word or token.

    Raises:
        UserError: if there are no results at ``path``.
    """
    results = Results.read(path)
    if (folder / RESULTS).resolve() != path.resolve():
        results.write(folder / RESULTS)
    if per == TOKEN:
        results = results.per_token()
    if any(run.points for run in results.runs):
        for name in FIGURES:
            draw(results, folder / name)
    write_text(folder / TABLE, text(results) + "\n")
    write_page(results, folder / REPORT)
    return results
