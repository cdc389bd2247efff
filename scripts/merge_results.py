"""Put the runs of several sweeps, such as of other seeds, into one results.json, and draw it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import scripting

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.report.page import write
from onmt_lattice.experiments.report.results import Results


def merged(paths: list[Path]) -> Results:
    """Return the runs of all ``paths``: of two of one name the later, if it has been evaluated.

    Sentences of the text are dropped.
    """
    every = [Results.read(path) for path in paths]
    if len({results.reference for results in every}) > 1:
        raise UserError(
            "the results' reference curves differ: expected sweeps of one configuration"
        )
    runs, curves = {}, {}
    for results in every:
        curves |= results.curves
        runs |= {run.name: run for run in results.runs if run.points or run.name not in runs}
    order, merged_runs = list(curves), []
    for run in sorted(runs.values(), key=lambda run: (run.seed, order.index(run.curve))):
        points = [dataclasses.replace(point, decoded=None) for point in run.points]
        merged_runs.append(dataclasses.replace(run, points=points))
    return dataclasses.replace(every[0], curves=curves, inputs=[], runs=merged_runs)


def main() -> None:
    """Merge and draw."""
    parser = scripting.parser(__doc__ or "")
    parser.add_argument("results", type=Path, nargs="+", help="results.json of each sweep")
    parser.add_argument("-output", type=Path, required=True, help="folder to draw into")
    args = parser.parse_args()
    write(merged(args.results), args.output)


if __name__ == "__main__":
    scripting.run(main)
