"""Figure 2: the two systems of the paper, drawn, and the same signals measured on their wires."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from torch import Tensor

from onmt_lattice.experiments.report.plotting import COLOURS
from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.estimates import Estimate, codeword_bits, estimate
from onmt_lattice.experiments.theory.experiments import Settings
from onmt_lattice.lattices import make_lattice

LATTICE, CODE = "E8", "discrete_gaussian"
LOG_S = math.log(2) / 2  # of the variance of Y
SIGNAL, DITHER, RATE = COLOURS[0], COLOURS[1], COLOURS[2]
TITLE = f"what the decoder sees in both systems ({LATTICE}, X ~ N(0, 1), dither of unit moment)"
NOTES = ("Each system has an X and a U of its own.",)


class Row(NamedTuple):
    """One measurement in both systems."""

    wire: Annotated[str, Column("mean a dimension")]
    inference: Annotated[Estimate, Column("inference, Y = Z − U")]
    training: Annotated[Estimate, Column("training, Y = X − U")]


def rows(settings: Settings) -> list[Row]:
    """Return moments of the decoder's input in both systems, for X ~ N(0, 1) and a unit dither."""
    lattice = make_lattice(LATTICE).with_second_moment(1.0)
    generator = settings.generator("figure2")

    def wires(quantize: bool) -> dict[str, Tensor]:
        size = (settings.samples, lattice.dim)
        x = torch.randn(size, generator=generator, dtype=torch.float64)
        u = lattice.sample_dither(size[:1], generator, dtype=torch.float64)
        y = (lattice.nearest_point(x + u) if quantize else x) - u
        return {
            "E X²": x.square().mean(-1),
            "E U²": u.square().mean(-1),
            "E Y²": y.square().mean(-1),
            "E X·Y": (x * y).mean(-1),
            "E (Y − X)²": (y - x).square().mean(-1),
            "rate (bits)": codeword_bits(CODE, lattice, LOG_S, y, generator),
        }

    inference, training = wires(True), wires(False)
    return [Row(name, estimate(inference[name]), estimate(training[name])) for name in inference]


def draw(rows: list[Row]) -> Figure:
    """Draw both systems as block diagrams."""
    figure = Figure(figsize=(8.2, 4.5), dpi=150, layout="constrained")
    ax = figure.add_subplot()
    ax.set(xlim=(-0.9, 12.9), ylim=(-0.8, 6.6), aspect="equal")
    ax.set_axis_off()
    _draw_inference(ax, 5.2)
    _draw_training(ax, 1.3)
    return figure


def _draw_inference(ax: Any, y: float) -> None:
    _title(ax, y, "Inference: a lattice point is coded")
    _box(ax, 0, y, "encoder")
    _sum(ax, 2.1, y, "+")
    _box(ax, 3.9, y, "nearest\npoint K")
    _box(ax, 6.8, y, "entropy code\nP(Ẑ = Z | U)", width=2.1, colour=RATE)
    _sum(ax, 9.5, y, "−")
    _box(ax, 11.8, y, "decoder")
    _wire(ax, (0.75, y), (1.85, y), "X")
    _wire(ax, (2.35, y), (3.15, y))
    _wire(ax, (4.65, y), (5.75, y), "Z")
    _wire(ax, (7.85, y), (9.25, y), "Z")
    _wire(ax, (9.75, y), (11.05, y), "Z − U")
    low = y - 1.5
    _box(ax, 6.8, low, "U, uniform on the Voronoi cell,\nknown to both sides", 4.1, DITHER)
    for x, edge in ((2.1, 4.75), (9.5, 8.85)):
        ax.plot([edge, x], [low, low], color=DITHER, linewidth=1.3)
        _wire(ax, (x, low), (x, y - 0.25), colour=DITHER)
    _wire(ax, (6.8, low + 0.42), (6.8, y - 0.42), colour=DITHER)
    ax.text(6.8, y + 0.55, "−log₂ P bits", color=RATE, ha="center", va="bottom")


def _draw_training(ax: Any, y: float) -> None:
    _title(ax, y, "Training: nothing is quantized, and the decoder sees the same law")
    _box(ax, 0, y, "encoder")
    _sum(ax, 2.1, y, "−")
    _box(ax, 11.8, y, "decoder")
    _wire(ax, (0.75, y), (1.85, y), "X")
    _wire(ax, (2.35, y), (11.05, y), "X − U")
    low = y - 1.5
    _box(ax, 2.1, low, "U, uniform on\nthe Voronoi cell", 2.3, DITHER)
    _wire(ax, (2.1, low + 0.42), (2.1, y - 0.25), colour=DITHER)
    rate = "rate $\\log_2 f_U(U)\\,/\\,f_{\\hat{X}-U}(X-U)$ bits,\nthe same in expectation"
    _box(ax, 6.8, low, rate, 4.1, RATE)
    _wire(ax, (6.8, y), (6.8, low + 0.42), colour=RATE)


def _title(ax: Any, y: float, text: str) -> None:
    ax.text(-0.75, y + 1.05, text, weight="bold", ha="left", va="center")


def _box(ax: Any, x: float, y: float, text: str, width: float = 1.5, colour: str = SIGNAL) -> None:
    corner = (x - width / 2, y - 0.42)
    style = "round,pad=0,rounding_size=0.12"
    patch = FancyBboxPatch(
        corner, width, 0.84, style, facecolor="white", edgecolor=colour, linewidth=1.3
    )
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", fontsize=8)


def _sum(ax: Any, x: float, y: float, sign: str) -> None:
    ax.add_patch(Circle((x, y), 0.25, facecolor="white", edgecolor=SIGNAL, linewidth=1.3))
    ax.text(x, y, sign, ha="center", va="center_baseline", fontsize=11)


def _wire(
    ax: Any,
    start: tuple[float, float],
    end: tuple[float, float],
    label: str = "",
    colour: str = SIGNAL,
) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=style)
    if label:
        middle = (start[0] + end[0]) / 2
        ax.text(middle, start[1] + 0.1, label, ha="center", va="bottom")
