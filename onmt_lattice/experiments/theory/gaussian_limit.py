"""The paper's closing conjecture: a good lattice of many dimensions is nearly a Gaussian channel.

By how much, as dimension and number of states grow: the law of the dither U against the normal one,
and the rate on a Gaussian source against that of the channel with Gaussian noise, ½ log2(1 + SNR).
The divergence of U from the normal law is ½ log2(2πe G) per dimension, exactly; the rest of the
table shows its effects.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from onmt_lattice.experiments.report.plotting import COLOURS, MARKERS
from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.estimates import Estimate, estimate, points_of_blocks
from onmt_lattice.experiments.theory.experiments import Settings
from onmt_lattice.experiments.theory.rate_distortion import quantized_rate, shannon_bits
from onmt_lattice.lattices import Lattice
from onmt_lattice.lattices.generators import GENERATORS

SNRS = {"tenth": 0.1, "half": 0.5, "one": 1.0, "ten": 10.0, "hundred": 100.0}
NEAR = 16  # coordinates apart: beyond, those of a trellis hardly know of each other
TITLE = "what is left between a lattice and the Gaussian channel"
NOTES = (
    "½ log2(2πe G): the divergence of U from N(0, 1), bits per dimension. Excess kurtosis "
    "and Kolmogorov-Smirnov distance: of single coordinates,",
    "0 for a normal law. σ² of coordinates: the largest over the least second moment. |ρ|: "
    f"of coordinates at most {NEAR} apart, beside what normal",
    "numbers, as many, have by chance. SNR: rate over ½ log2(1 + SNR) on a Gaussian "
    "source, bits per dimension, by the best single prior scale.",
)


class Row(NamedTuple):
    """What is left between a lattice and the Gaussian channel; rates in bits per dimension."""

    lattice: Annotated[str, Column("lattice")]
    loss: Annotated[float, Column("½ log2(2πe G)", ".4f")]
    kurtosis: Annotated[Estimate, Column("excess kurtosis")]
    distance: Annotated[float, Column("KS to normal", ".4f")]
    uneven: Annotated[float, Column("σ² of coordinates", ".3f")]
    correlation: Annotated[float, Column("largest |ρ|", ".3f")]
    chance: Annotated[float, Column("by chance", ".3f")]
    tenth: Annotated[Estimate, Column("SNR 0.1")]
    half: Annotated[Estimate, Column("SNR 0.5")]
    one: Annotated[Estimate, Column("SNR 1")]
    ten: Annotated[Estimate, Column("SNR 10")]
    hundred: Annotated[Estimate, Column("SNR 100")]


def excess_kurtosis(u: Tensor) -> Estimate:
    """Return E u⁴/(E u²)² − 3 over the coordinates of ``u`` ``(N, n)``: 0 for a normal law."""
    squares = u.square()
    second, fourth = squares.mean(), squares.square().mean()
    # The influence of a point on the ratio, for its standard error.
    influence = (squares.square() / second**2 - 2 * fourth * squares / second**3).mean(-1)
    return estimate(influence).affine(1.0, 2 * (fourth / second**2).item() - 3)


def distance_to_normal(u: Tensor) -> float:
    """Return the largest distance of the CDF of all coordinates of ``u`` to that of N(0, 1)."""
    ordered = u.flatten().sort().values
    steps = torch.arange(len(ordered) + 1, dtype=torch.float64) / len(ordered)
    normal = torch.special.ndtr(ordered)
    return max((steps[1:] - normal).max().item(), (normal - steps[:-1]).max().item())


def largest_correlation(u: Tensor) -> float:
    """Return the largest |ρ| of two coordinates of ``u`` ``(N, n)`` that are near; 0 if n is 1."""
    rho = torch.corrcoef(u.T).view(u.shape[1], -1).abs()
    apart = torch.arange(len(rho))[:, None] - torch.arange(len(rho))
    return rho[(apart > 0) & (apart <= NEAR)].max().item() if len(rho) > 1 else 0.0


def _row(lattice: Lattice, settings: Settings) -> Row:
    generator = settings.generator("gaussianlimit", lattice.name)
    count = 8 * points_of_blocks(settings.samples, lattice)
    u = lattice.sample_dither((count,), generator, dtype=torch.float64)
    normal = torch.randn(u.shape, generator=generator, dtype=torch.float64)
    moments = u.square().mean(0)
    return Row(
        lattice=lattice.name,
        loss=lattice.space_filling_loss,
        kurtosis=excess_kurtosis(u),
        distance=distance_to_normal(u),
        uneven=(moments.max() / moments.min()).item(),
        correlation=largest_correlation(u),
        chance=largest_correlation(normal),
        **{
            field: quantized_rate(lattice, snr, settings.samples, generator).affine(
                1.0, -shannon_bits(snr)
            )
            for field, snr in SNRS.items()
        },
    )


def draw(rows: list[Row]) -> Figure:
    """Draw the rate over the Gaussian channel's, and U's kurtosis, against the lattice's loss."""
    figure = Figure(figsize=(9.4, 4.4), dpi=150, layout="constrained")
    excess, kurtosis = figure.subplots(1, 2)
    ends = (0, 1.08 * max(row.loss for row in rows))
    _draw_excess(excess, rows)
    excess.plot(ends, ends, color="black", linewidth=0.8, label="equal")
    excess.set(ylabel="rate over ½ log₂(1 + SNR), bits per dimension")
    excess.legend()
    _draw_kurtosis(kurtosis, rows)
    kurtosis.set(ylabel="−excess kurtosis of U's coordinates")
    for axes in (excess, kurtosis):
        axes.set(xlim=ends, ylim=(0, None), xlabel="½ log₂(2πe G), bits per dimension")
    return figure


def _draw_excess(axes: Any, rows: list[Row]) -> None:
    losses = [row.loss for row in rows]
    for number, (field, snr) in enumerate(SNRS.items()):
        excess = [getattr(row, field) for row in rows]
        style = {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 4}
        means, errors = [e.mean for e in excess], [2 * e.standard_error for e in excess]
        axes.errorbar(losses, means, errors, linestyle="", label=f"SNR {snr:g}", **style)


def _draw_kurtosis(axes: Any, rows: list[Row]) -> None:
    """Draw a point for each lattice; of a code, the best block has its number of states beside."""
    rings = {q: "Z4" if q == 4 else f"GF({q})" for q in range(2, 6)}
    field = {name: f"states, {rings[code.q]}" for name, code in GENERATORS.items()}
    names = [row.lattice.partition("-")[0] for row in rows]
    named = list(zip(names, rows, strict=True))
    best = dict(sorted(named, key=lambda pair: -pair[1].loss))  # that of the least loss stays
    for number, label in enumerate(dict.fromkeys(field.get(name, "others") for name in names)):
        mine = [row for name, row in named if field.get(name, "others") == label]
        style = {"color": COLOURS[number], "label": label, "marker": MARKERS[number]}
        values = [-row.kurtosis.mean for row in mine]
        axes.plot([row.loss for row in mine], values, linestyle="", markersize=4, **style)
    for name, row in best.items():
        text = name.rpartition("conv")[2]
        x, y = {"states, GF(5)": (0, -10), "states, Z4": (5, -3)}.get(field.get(name, ""), (0, 5))
        side = "left" if x else "center"
        if len(text) > 3:  # the largest are the farthest left
            x, side = -x, "right"
        beside: Any = {"xytext": (x, y), "textcoords": "offset points"}
        axes.annotate(text, (row.loss, -row.kurtosis.mean), fontsize=6.5, ha=side, **beside)
    axes.legend(loc="upper left")


def rows(settings: Settings) -> list[Row]:
    """Measure how far each lattice is from the Gaussian channel."""
    return [_row(lattice, settings) for lattice in settings.lattices]
