"""Rate against distortion on a Gaussian source: every lattice, theory, and Shannon's limit.

Entropy-coded dithered quantization (Zamir & Feder, 1996) sends Z = K(X + U) and reconstructs
α(Z − U) with Wiener's α. For X ~ N(0, σ²) per dimension, a dither of second moment 1 and SNR = σ²
the distortion is D = σ²/(1 + SNR), at which Shannon's limit is ½ log2(σ²/D) = ½ log2(1 + SNR);
the ideal code's rate I(X; X + U) lies above it by at most the loss ½ log2(2πe G).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from onmt_lattice.experiments.report.plotting import COLOURS, MARKERS
from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.estimates import (
    Estimate,
    codeword_bits,
    estimate,
    golden_section,
    points_of_blocks,
)
from onmt_lattice.experiments.theory.experiments import Settings
from onmt_lattice.lattices import Lattice

SNRS_DB = (-10, -5, 0, 5, 10, 15, 20)
PILOT = 250  # blocks that choose the prior's scale, none of which is coded after
SNR_LABEL = "SNR, σ² over the dither's second moment (dB)"
MATCHED, PAPER = "discrete_gaussian", "convolved_gaussian"
TITLE = "entropy-coded dithered quantization of a Gaussian source, bits per dimension"
NOTES = (
    "SNR: the source's variance over the dither's second moment, 0 dB = 1, 20 dB = 100. "
    "D: of Wiener's estimate of X from Z − U;",
    "theory has D/σ² = 1/(1 + SNR), at which Shannon's R(D) is ½ log2(1 + SNR). ECDQ "
    "bound: that plus ½ log2(2πe G),",
    "for the ideal code, which on Z is the convolved one; the discrete Gaussian, of the "
    "best single scale, may pass it.",
)


class Row(NamedTuple):
    """A point of the plot; rates in bits per dimension."""

    lattice: Annotated[str, Column("lattice")]
    code: Annotated[str, Column("code")]
    snr_db: Annotated[int, Column("SNR (dB)")]
    distortion: Annotated[Estimate, Column("D/σ²")]
    rate: Annotated[Estimate, Column("rate (bits/dim)")]
    shannon: Annotated[float, Column("Shannon")]
    ecdq: Annotated[float, Column("ECDQ bound")]
    excess: Annotated[Estimate, Column("over Shannon")]


def shannon_bits(snr: float) -> float:
    """Return ½ log2(1 + SNR), which is R(D) at D = σ²/(1 + SNR), in bits per dimension."""
    return 0.5 * math.log2(1 + snr)


def source_and_dither(
    lattice: Lattice, snr: float, blocks: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return X ~ N(0, SNR) and U, each ``(points, n)``."""
    size = (points_of_blocks(blocks, lattice), lattice.dim)
    x = math.sqrt(snr) * torch.randn(size, generator=generator, dtype=torch.float64)
    return x, lattice.sample_dither(size[:1], generator, dtype=torch.float64)


def centred(x: Tensor, y: Tensor, snr: float) -> Tensor:
    """Return ``(points, 2)``, ‖X‖²/n and X·Y/n less their mean, which is σ² exactly.

    They vary most from sample to sample: as control variates they take most of the error out.
    """
    return torch.stack([x.square().mean(-1), (x * y).mean(-1)], 1) - snr


def best_log_scale(lattice: Lattice, snr: float, generator: torch.Generator) -> float:
    """Return the log of the one prior scale of the discrete Gaussian that suits the source best.

    The cost is convex in 1/s²: a golden-section search between s² = SNR and SNR + 4, to 1 %.
    """
    x, u = source_and_dither(lattice, snr, PILOT, generator)
    y = x - u
    controls = centred(x, y, snr)

    def cost(log_s: float) -> float:
        return estimate(codeword_bits(MATCHED, lattice, log_s, y, generator), controls).mean

    return golden_section(cost, 0.5 * math.log(snr), 0.5 * math.log(snr + 4), 0.01)


def quantized_rate(
    lattice: Lattice, snr: float, blocks: int, generator: torch.Generator
) -> Estimate:
    """Return the rate of the discrete Gaussian of the best scale, in bits per dimension."""
    log_s = best_log_scale(lattice, snr, generator)
    x, u = source_and_dither(lattice, snr, blocks, generator)
    y = lattice.nearest_point(x + u) - u
    return estimate(codeword_bits(MATCHED, lattice, log_s, y, generator), centred(x, y, snr))


def points(lattice: Lattice, snr_db: int, settings: Settings) -> list[Row]:
    """Return the points at one SNR: of the discrete Gaussian, and on Z of the paper's code too."""
    snr = 10 ** (snr_db / 10)
    generator = settings.generator("ratedistortion", lattice.name, str(snr_db))
    scales = {MATCHED: best_log_scale(lattice, snr, generator)}
    if lattice.dim == 1:  # where that code is exact
        scales[PAPER] = 0.5 * math.log(snr)
    x, u = source_and_dither(lattice, snr, settings.samples, generator)
    y = lattice.nearest_point(x + u) - u
    controls = centred(x, y, snr)
    error = (x - snr / (1 + snr) * y).square().mean(-1)
    shannon = shannon_bits(snr)
    rates = {
        code: estimate(codeword_bits(code, lattice, log_s, y, generator), controls)
        for code, log_s in scales.items()
    }
    return [
        Row(
            lattice=lattice.name,
            code=code,
            snr_db=snr_db,
            distortion=estimate(error / snr, controls),
            rate=rate,
            shannon=shannon,
            ecdq=shannon + lattice.space_filling_loss,
            excess=rate.affine(1.0, -shannon),
        )
        for code, rate in rates.items()
    ]


def rows(settings: Settings) -> list[Row]:
    """Measure rate and distortion of every lattice over a range of SNR."""
    return [
        row
        for lattice in settings.lattices
        for snr_db in SNRS_DB
        for row in points(lattice, snr_db, settings)
    ]


def draw(rows: list[Row]) -> Figure:
    """Draw rate, and its excess over Shannon's limit, against the SNR."""
    figure = Figure(figsize=(9.4, 4.6), dpi=150, layout="constrained")
    rate, excess = figure.subplots(1, 2)
    snrs_db = np.linspace(min(SNRS_DB), max(SNRS_DB), 200)
    shannon = 0.5 * np.log2(1 + 10 ** (snrs_db / 10))
    rate.plot(snrs_db, shannon, "k", label="Shannon, ½ log₂(1 + SNR)")
    rate.fill_between(snrs_db, shannon, color="0.93", zorder=0)
    excess.axhline(0, color="black")
    series = dict.fromkeys((p.lattice, p.code) for p in rows)
    lattices = list(dict.fromkeys(p.lattice for p in rows))
    for lattice, code in series:
        mine = [p for p in rows if (p.lattice, p.code) == (lattice, code)]
        _draw_series(rate, excess, mine, lattices.index(lattice))
    _label(rate, excess)
    return figure


def _draw_series(rate: Any, excess: Any, mine: list[Row], number: int) -> None:
    snrs_db = [p.snr_db for p in mine]
    colour = COLOURS[number % (len(COLOURS) - 1)]  # black is the limit's
    paper = mine[0].code == PAPER
    style = {
        "color": colour,
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 5,
        "linewidth": 1,
        "linestyle": ":" if paper else "-",
        "markerfacecolor": "white" if paper else colour,
        "label": f"{mine[0].lattice}, paper's code" if paper else mine[0].lattice,
    }
    rate.plot(snrs_db, [p.rate.mean for p in mine], **style)
    errors = [2 * p.excess.standard_error for p in mine]
    excess.errorbar(snrs_db, [p.excess.mean for p in mine], errors, capsize=2, **style)
    loss = mine[0].ecdq - mine[0].shannon
    excess.axhline(loss, color=colour, linestyle="--", linewidth=0.8)
    if not paper:
        beside = {"xytext": (7, 3), "textcoords": "offset points", "color": colour}
        excess.annotate(mine[0].lattice, (max(SNRS_DB), mine[-1].excess.mean), **beside)


def _label(rate: Any, excess: Any) -> None:
    rate.set(xlabel=SNR_LABEL, ylabel="rate (bits per dimension)")
    rate.set(ylim=(0, None), xlim=(min(SNRS_DB) - 1, max(SNRS_DB) + 1))
    top = rate.secondary_xaxis("top")
    ticks = [-10, 0, 10, 20]
    top.set_xticks(ticks, [f"{1 / (1 + 10 ** (db / 10)):.3g}" for db in ticks])
    top.set_xlabel("distortion D/σ² = 1/(1 + SNR)")
    excess.set(xlabel=SNR_LABEL)
    excess.set(ylabel="rate over Shannon (bits per dimension)", ylim=(0, None))
    excess.set(xlim=(min(SNRS_DB) - 1, max(SNRS_DB) + 4.5))
    excess.set_title(
        "dashed: theory's bound for the ideal code, ½ log₂(2πe G)\nbars: ± 2 standard errors"
    )
    rate.legend()
