"""Rate against NLL, as in Figure 3 of the paper: what all such figures have, and of evaluations."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import TOKEN, WORD, Evaluation
from onmt_lattice.experiments.report.results import ANNEALED, FIXED
from onmt_lattice.experiments.report.style import FAMILIES, Style, styles
from onmt_lattice.files import whole_file

FORMATS = (".png", ".svg", ".pdf")
SIZE = (8.0, 5.4)  # inches


def plot(evaluations: Sequence[Evaluation], path: str | os.PathLike[str], per: str = WORD) -> None:
    """Draw ``evaluations`` to a PNG, SVG or PDF file, written whole or not at all.

    A curve is all that has one label; those of a family, and so their colours, are in the order in
    which they are given. The checkpoints of one run are joined by dashes in the order of their
    steps; a run of which there is one checkpoint is a point by itself, filled as at fixed λ.
    Costs are ``per`` word or token.

    Raises:
        UserError: for another kind of file, if there is nothing to draw, or a number that is not
            finite.
    """
    check_format(path)
    if not evaluations:
        raise UserError("nothing to plot: expected at least one evaluation")
    if per == TOKEN:
        evaluations = [e.per_token() for e in evaluations]
    for e in evaluations:
        if not (math.isfinite(e.nll.word) and math.isfinite(e.rate.word)):
            raise UserError(
                f"{e.model} on {e.text}: NLL {e.nll.word} and rate {e.rate.word} bits per {per}; "
                f"expected finite numbers; leave that evaluation out"
            )
    figure, axes = new_figure()
    curves = trajectories(evaluations)
    looks = styles({label: runs[0][0].bottleneck for label, runs in curves.items()})
    handles = []
    for label, runs in curves.items():
        schedules = [FIXED if len(run) == 1 else ANNEALED for run in runs]
        for run, schedule in zip(runs, schedules, strict=True):
            nll, rate = [e.nll.word for e in run], [e.rate.word for e in run]
            axes.plot(nll, rate, **looks[label].line(schedule))
            axes.plot(nll, rate, **looks[label].points(schedule), zorder=3)
        handles.append(handle(label, looks[label], FIXED if FIXED in schedules else ANNEALED))
    label_axes(axes, evaluations, per)
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    save(figure, path)


def trajectories(evaluations: Sequence[Evaluation]) -> dict[str, list[list[Evaluation]]]:
    """Return the evaluations by label, then by run, each run in the order of its steps."""
    ranks = {bottleneck: rank for rank, bottleneck in enumerate(FAMILIES)}
    labels: dict[str, dict[str, list[Evaluation]]] = {}
    for e in sorted(evaluations, key=lambda e: ranks.get(e.bottleneck, len(ranks))):
        labels.setdefault(e.label, {}).setdefault(e.run, []).append(e)
    return {
        label: [sorted(run, key=lambda e: e.step) for run in runs.values()]
        for label, runs in labels.items()
    }


# ---- what all figures have ----------------------------------------------------------------------


def new_figure() -> tuple[Figure, Any]:
    """Return an empty figure and its axes."""
    figure = Figure(figsize=SIZE, dpi=150, layout="constrained")
    return figure, figure.add_subplot()


def handle(label: str, style: Style, schedule: str) -> Line2D:
    """Return the entry of a legend."""
    return Line2D([], [], **style.both(schedule), label=label)


def label_axes(axes: Any, evaluations: Sequence[Evaluation], per: str) -> None:
    """Say what runs across and up, and on which text; draw the entropy of its source if known."""
    texts = sorted({Path(e.text).name for e in evaluations})
    axes.set_xlabel(f"NLL (bits per {per})")
    axes.set_ylabel(f"rate (bits per {per})")
    axes.set_title(f"Rate against NLL on {', '.join(texts)}; lower left is better", fontsize=10)
    axes.grid(color="0.9", linewidth=0.6)
    for entropy in {e.entropy.bits_word for e in evaluations if e.entropy is not None}:
        _draw_entropy(axes, entropy)


def _draw_entropy(axes: Any, entropy: float) -> None:
    """Draw rate + NLL = H and shade what lies below, which no code can reach."""
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.plot([0, entropy], [entropy, 0], color="0.3", linestyle="--", linewidth=1)
    axes.fill_between([0, entropy], [entropy, 0], color="0.92", zorder=0)
    axes.annotate(
        f"rate + NLL = H = {entropy:.2f}",
        (entropy / 2, entropy / 2),
        xytext=(-6, -6),
        textcoords="offset points",
        ha="right",
        va="top",
        color="0.3",
    )


# ---- files --------------------------------------------------------------------------------------


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a ``figure``, whole or not at all; the same bytes for the same figure."""
    metadata = {"Date": None} if Path(path).suffix.lower() == ".svg" else None
    with matplotlib.rc_context({"svg.hashsalt": "onmt_lattice"}), whole_file(path) as part:
        figure.savefig(part, metadata=metadata)


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise :class:`UserError` unless ``path`` ends in one of ``FORMATS``."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"-output {path}: expected a name ending in {', '.join(FORMATS)}")
