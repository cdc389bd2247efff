"""How figures look: colours, markers and lines of curves, axes, files; and the ``plot`` command."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import TOKEN, WORD, Evaluation
from onmt_lattice.experiments.report.results import (
    ANNEALED,
    FIXED,
    KINDS,
    QUANTIZED,
    SCRATCH,
    TUNED,
    Results,
)
from onmt_lattice.files import whole_file

FORMATS = (".png", ".svg", ".pdf")
SIZE = (8.0, 5.4)  # inches

# Okabe & Ito's palette without its yellow, for any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
# Colours and markers of those that belong together: Gaussians are round, black and grey and then
# dark red to green, lattices are cold and angular, straight-through quantizers warm triangles.
# Markers help where colours cannot be seen.
ROUND = (
    ("#000000", "#7F7F7F", "#882255", "#CC6677", "#A6761D", "#999933", "#661100"),
    ("o", "8"),
)
COLD = (("#0072B2", "#009E73", "#56B4E9", "#332288", "#44AA99", "#117733"), ("s", "D", "P", "X"))
WARM = (("#D55E00", "#E69F00", "#CC79A7", "#882255", "#A6761D"), ("^", "v", "<", ">"))
OTHER = (("#7A5195", "#8A8D00", "#B0413E"), ("*", "p", "h", "d"))
FAMILIES = {"gaussian": ROUND, "none": ROUND, "lattice": COLD}
FAMILIES |= {"ste_scalar": WARM, "ste_vector": WARM}
DASHES = {FIXED: "-", ANNEALED: (0, (4, 2))}
WORDS = {FIXED: "fixed λ", ANNEALED: "annealed λ"}
# Kinds of lattice curve, where a figure has several: at fixed λ they differ in their lines.
KIND_DASHES = {QUANTIZED: "-", TUNED: (0, (1, 1.3)), SCRATCH: (0, (6, 1.5, 1, 1.5))}
KIND_WORDS = {
    QUANTIZED: "quantized",
    TUNED: "quantized, then tuned",
    SCRATCH: "trained from scratch",
}


class Style(NamedTuple):
    """How a curve is drawn, whatever its schedule."""

    colour: str
    marker: str
    kind: str | None = None

    def line(self, schedule: str) -> dict[str, Any]:
        """Return the look of lines: by their kind at fixed λ, else dashed."""
        dashes: Any = DASHES[schedule]
        if schedule == FIXED and self.kind is not None:
            dashes = KIND_DASHES[self.kind]
        return {"color": self.colour, "linestyle": dashes, "linewidth": 1.5}

    def points(self, schedule: str) -> dict[str, Any]:
        """Return the look of points alone: filled at fixed λ, else hollow."""
        return {
            "color": self.colour,
            "linestyle": "",
            "marker": self.marker,
            "markersize": 6,
            "markerfacecolor": self.colour if schedule == FIXED else "white",
            "markeredgewidth": 1.1,
        }

    def both(self, schedule: str) -> dict[str, Any]:
        """Return the look of points that are joined."""
        return self.points(schedule) | self.line(schedule)


def styles(bottlenecks: Mapping[str, str]) -> dict[str, Style]:
    """Return a look for every curve by its bottleneck: the next of that one's family."""
    families = {id(family): _looks(*family) for family in (*FAMILIES.values(), OTHER)}
    return {
        curve: next(families[id(FAMILIES.get(bottleneck, OTHER))])
        for curve, bottleneck in bottlenecks.items()
    }


def curve_styles(results: Results) -> dict[str, Style]:
    """Return a look for every curve of a sweep.

    Curves of the same lattice have one colour, each its own marker; where there are several kinds
    of lattice curve, their lines differ.
    """
    looks: dict[str, Style] = {}
    bottlenecks, shown = results.bottlenecks(), kinds(results)
    first = {results.lattice(name) or name: name for name in reversed(results.curves)}
    plain = styles({name: bottlenecks[name] for name in results.curves if name in first.values()})
    before: Counter[str] = Counter()  # curves of the same lattice
    for name in results.curves:
        key = results.lattice(name) or name
        style, markers = plain[first[key]], COLD[1]
        if before[key]:
            number = (markers.index(style.marker) + before[key]) % len(markers)
            style = style._replace(marker=markers[number])
        before[key] += 1
        looks[name] = style._replace(kind=results.kind(name) if shown else None)
    return looks


def kinds(results: Results) -> list[str]:
    """Return the kinds of lattice curve among ``results`` if there are several."""
    present = {results.kind(name) for name in results.curves}
    kinds = [kind for kind in KINDS if kind in present]
    return kinds if len(kinds) > 1 else []


def _looks(colours: Sequence[str], markers: Sequence[str]) -> Iterator[Style]:
    """Yield colour and marker in step, then the colours again, each with its next marker."""
    for turn in cycle(range(len(markers))):
        for number, colour in enumerate(colours):
            yield Style(colour, markers[(number + turn) % len(markers)])


def new_figure() -> tuple[Figure, Any]:
    """Return an empty figure and its axes."""
    figure = Figure(figsize=SIZE, dpi=150, layout="constrained")
    return figure, figure.add_subplot()


def handle(label: str, style: Style, schedule: str) -> Line2D:
    """Return the entry of a legend."""
    return Line2D([], [], **style.both(schedule), label=label)


def label_axes(axes: Any, evaluations: Sequence[Evaluation], per: str) -> None:
    """Label both axes and name the text; draw the entropy of its source if known."""
    texts = sorted({Path(e.text).name for e in evaluations})
    axes.set_xlabel(f"NLL (bits per {per})")
    axes.set_ylabel(f"rate (bits per {per})")
    axes.set_title(f"Rate against NLL on {', '.join(texts)}; lower left is better", fontsize=10)
    axes.grid(color="0.9", linewidth=0.6)
    for entropy in {e.entropy.bits_word for e in evaluations if e.entropy is not None}:
        _draw_entropy(axes, entropy)


def _draw_entropy(axes: Any, entropy: float) -> None:
    """Draw rate + NLL = H and shade the region below, which no code can reach."""
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


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a ``figure``, whole or not at all; the same bytes for the same figure."""
    metadata = {"Date": None} if Path(path).suffix.lower() == ".svg" else None
    with matplotlib.rc_context({"svg.hashsalt": "onmt_lattice"}), whole_file(path) as part:
        figure.savefig(part, metadata=metadata)


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise :class:`UserError` unless ``path`` ends in one of ``FORMATS``."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"-output {path}: expected a name ending in {', '.join(FORMATS)}")


def plot(evaluations: Sequence[Evaluation], path: str | os.PathLike[str], per: str = WORD) -> None:
    """Draw ``evaluations`` to a PNG, SVG or PDF file, written whole or not at all.

    A curve is all that has one label; those of a family, and so their colours, are in the order in
    which they are given. The evaluations of one run are joined by dashes, by step and,
    for some of its quantizers alone, by rate; a run of one evaluation is a point by itself, filled
    as at fixed λ. Costs are ``per`` word or token.
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
    curves = _runs_by_label(evaluations)
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


def _runs_by_label(evaluations: Sequence[Evaluation]) -> dict[str, list[list[Evaluation]]]:
    """Return the evaluations by label, then by run, each by step, then by rate."""
    ranks = {bottleneck: rank for rank, bottleneck in enumerate(FAMILIES)}
    labels: dict[str, dict[str, list[Evaluation]]] = {}
    for e in sorted(evaluations, key=lambda e: ranks.get(e.bottleneck, len(ranks))):
        labels.setdefault(e.label, {}).setdefault(e.run, []).append(e)
    return {
        label: [sorted(run, key=lambda e: (e.step, e.rate.word)) for run in runs.values()]
        for label, runs in labels.items()
    }
