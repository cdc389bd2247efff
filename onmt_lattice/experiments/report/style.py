"""How curves look: one language of colours, markers and lines for every figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

from onmt_lattice.experiments.report.results import (
    ANNEALED,
    FIXED,
    KINDS,
    QUANTIZED,
    SCRATCH,
    TUNED,
    Results,
)

# Okabe & Ito's palette without its yellow, told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
# Colours and markers of those that belong together: the Gaussian is grey, lattices are cold and
# angular, straight-through quantizers warm triangles. Markers tell apart what some eyes do not.
GREY = (("#000000", "#7F7F7F", "#4D4D4D"), ("o", "8"))
COLD = (("#0072B2", "#009E73", "#56B4E9", "#332288", "#44AA99", "#117733"), ("s", "D", "P", "X"))
WARM = (("#D55E00", "#E69F00", "#CC79A7", "#882255", "#A6761D"), ("^", "v", "<", ">"))
OTHER = (("#7A5195", "#8A8D00", "#B0413E"), ("*", "p", "h", "d"))
FAMILIES = {
    "gaussian": GREY,
    "none": GREY,
    "lattice": COLD,
    "ste_scalar": WARM,
    "ste_vector": WARM,
}
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
    """Return a look for every curve, the next of the family of its bottleneck.

    Args:
        bottlenecks: name of the bottleneck, by name of the curve.
    """
    families = {id(family): _looks(*family) for family in (*FAMILIES.values(), OTHER)}
    return {
        curve: next(families[id(FAMILIES.get(bottleneck, OTHER))])
        for curve, bottleneck in bottlenecks.items()
    }


def curve_styles(results: Results) -> dict[str, Style]:
    """Return a look for every curve of a sweep.

    Curves of the same lattice have one colour, each its own marker; where there are several kinds
    of lattice curve, their lines tell which.
    """
    looks: dict[str, Style] = {}
    of_lattice: dict[str, list[Style]] = {}
    bottlenecks, shown = results.bottlenecks(), kinds(results)
    first = {results.lattice(name) or name: name for name in reversed(results.curves)}
    given = styles({name: bottlenecks[name] for name in results.curves if name in first.values()})
    for name in results.curves:
        key = results.lattice(name) or name
        held = of_lattice.setdefault(key, [])
        style = given[first[key]]
        if held:
            markers = COLD[1]
            place = (markers.index(style.marker) + len(held)) % len(markers)
            style = style._replace(marker=markers[place])
        held.append(style)
        looks[name] = style._replace(kind=results.kind(name) if shown else None)
    return looks


def kinds(results: Results) -> list[str]:
    """Return the kinds of lattice curve among ``results`` if there are several."""
    found = {results.kind(name) for name in results.curves}
    several = [kind for kind in KINDS if kind in found]
    return several if len(several) > 1 else []


def _looks(colours: Sequence[str], markers: Sequence[str]) -> Iterator[Style]:
    """Yield colour and marker in step, then the colours again, each with its next marker."""
    for turn in cycle(range(len(markers))):
        for number, colour in enumerate(colours):
            yield Style(colour, markers[(number + turn) % len(markers)])
