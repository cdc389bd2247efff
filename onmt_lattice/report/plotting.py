"""Rate against NLL, as in Figure 3 of the paper."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation import Evaluation
from onmt_lattice.files import whole_file

FORMATS = (".png", ".svg", ".pdf")
# Okabe & Ito's palette without its yellow, told apart with any colour vision; every bottleneck
# has a marker of its own besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
FIRST = ("gaussian", "lattice", "ste_scalar", "ste_vector", "none")


def trajectories(evaluations: Sequence[Evaluation]) -> dict[str, list[list[Evaluation]]]:
    """Return the evaluations by label, then by run, each run in the order of its steps."""
    ordered = sorted(evaluations, key=lambda e: (_rank(e), e.label, e.run, e.step))
    labels: dict[str, dict[str, list[Evaluation]]] = {}
    for evaluation in ordered:
        labels.setdefault(evaluation.label, {}).setdefault(evaluation.run, []).append(evaluation)
    return {label: list(runs.values()) for label, runs in labels.items()}


def _rank(evaluation: Evaluation) -> int:
    known = evaluation.bottleneck in FIRST
    return FIRST.index(evaluation.bottleneck) if known else len(FIRST)


def plot(evaluations: Sequence[Evaluation], path: str | os.PathLike[str]) -> None:
    """Draw ``evaluations`` to a PNG, SVG or PDF file, written whole or not at all.

    NLL runs across and rate up, both in bits a word of the text. The points of one run are
    joined. Where the entropy of the source is known, so is the line rate + NLL = H, which no
    honest point lies below.

    Raises:
        UserError: for another kind of file, or if there is nothing to draw.
    """
    check_format(path)
    if not evaluations:
        raise UserError("nothing to plot: expected at least one evaluation")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    _draw_runs(axes, evaluations)
    draw_entropy(axes, evaluations)
    label_axes(axes, evaluations)
    axes.legend(frameon=False)
    save(figure, path)


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a matplotlib ``figure``, whole or not at all; the same bytes for the same figure."""
    import matplotlib

    metadata = {"Date": None} if Path(path).suffix.lower() == ".svg" else None
    with matplotlib.rc_context({"svg.hashsalt": "onmt_lattice"}), whole_file(path) as part:
        figure.savefig(part, metadata=metadata)


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise :class:`UserError` unless ``path`` ends in one of ``FORMATS``."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"-output {path}: expected a name ending in {', '.join(FORMATS)}")


def _draw_runs(axes: Any, evaluations: Sequence[Evaluation]) -> None:
    styles = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    for (label, runs), (colour, marker) in zip(
        trajectories(evaluations).items(), styles, strict=False
    ):
        for number, run in enumerate(runs):
            axes.plot(
                [e.nll.word for e in run],
                [e.rate.word for e in run],
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.2,
                label=label if number == 0 else None,
            )


def draw_entropy(axes: Any, evaluations: Sequence[Evaluation]) -> None:
    """Draw rate + NLL = H and shade what lies below, which no code can reach."""
    known = {e.entropy.bits_word for e in evaluations if e.entropy is not None}
    if known:
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    for entropy in known:
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


def label_axes(axes: Any, evaluations: Sequence[Evaluation]) -> None:
    """Say what runs across and up, and on which text."""
    texts = sorted({Path(e.text).name for e in evaluations})
    axes.set_xlabel("NLL (bits a word)")
    axes.set_ylabel("rate (bits a word)")
    axes.set_title(f"Rate against NLL on {', '.join(texts)}; lower left is better", fontsize=10)
    axes.grid(color="0.9", linewidth=0.6)
