"""What a lattice costs in the Gaussian models that it was put into: a table."""

from __future__ import annotations

from pathlib import Path

from onmt_lattice.experiments.report.pairing import paired
from onmt_lattice.experiments.report.results import TUNED, Results
from onmt_lattice.experiments.tables import Column, Table

PAIRED_COLUMNS = {
    "curve": Column("curve"),
    "kind": Column("kind"),
    "place": Column("point"),
    "nll": Column("at NLL", ".2f"),
    "over": Column("rate over", "+.3f"),
    "over_dimension": Column("per dimension", "+.4f"),
    "theory": Column("theory", ".4f"),
    "of_theory": Column("of theory (%)", ".1f"),
    "nll_change": Column("NLL over", "+.3f"),
    "equal": Column("at equal NLL", "+.3f"),
    "closed": Column("gap closed (%)", ".0f"),
}


def paired_table(results: Results) -> Table:
    """Return a line for each lattice in trained models, by curve and place."""
    notes = (
        "Each lattice against the Gaussian model it was put into, that model's prior refitted to "
        "the same sentences as the lattice's code: same training, same seed, same sentences. rate "
        "over and NLL over: the lattice's less the Gaussian's, in bits per {per}; per dimension: "
        "the first in bits per dimension. theory: what the lattice costs over the Gaussian on a "
        "Gaussian source of the model's own signal-to-noise ratios, in bits per dimension.",
        "at equal NLL: the rate over the Gaussian's at the NLL that the lattice has, in bits per "
        "{per}. The Gaussian's rate there is its own times exp(slope x change of NLL), the slope "
        "being that of the logarithm of its rate against NLL at this point of its curve over "
        "lambda, of the same seed: by the parabola through the points on both sides, at an end by "
        "the chord. gap closed: what is saved of the cost of Z in the same model, both at equal "
        "NLL; its interval takes the two costs as independent, which makes it too wide.",
        "Mean over seeds; ± half of the 95 % interval of the paired difference, over sentences: as "
        "if all seeds had the same luck with them. It does not cover how seeds differ, nor errors "
        "of slopes and of theory's price. In brackets the lowest and the highest seed.",
        "tuned: training went on with the lattice's noise, and equally long for the Gaussian; two "
        "trainings differ by more than what sentences tell.",
    )
    rows = paired(results)
    tuned = any(row.kind == TUNED for row in rows)
    title = f"what a lattice costs in a trained Gaussian model, {Path(results.text).name}"
    columns = with_kind(PAIRED_COLUMNS, tuned)
    shown = notes if tuned else notes[:-1]
    return Table(title, columns, rows, tuple(note.format(per=results.per) for note in shown))


def with_kind(columns: dict[str, Column], several: bool) -> dict[str, Column]:
    """Return ``columns``, without the kind of lattice curve where all are of one."""
    return {name: column for name, column in columns.items() if several or name != "kind"}
