"""The price of uneven blocks: a lattice on coordinates of different signal-to-noise ratios.

A lattice's loss is that of its whole block. Where a block mixes coordinates that carry much with
some that carry little, it costs more than the same coordinates sorted, so that alike are together.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from onmt_lattice.codes import make_code
from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.estimates import Estimate, estimate, golden_section
from onmt_lattice.experiments.theory.experiments import UNEVEN_COORDINATES as DIM
from onmt_lattice.experiments.theory.experiments import Settings
from onmt_lattice.experiments.theory.rate_distortion import MATCHED
from onmt_lattice.lattices import Lattice
from onmt_lattice.noise import StreamNoise

LEAST, MOST = 0.1, 100.0  # their SNR, evenly spaced in decibels
PILOT = 100
TITLE = "the price of uneven blocks: bits per dimension over the Gaussian channel"
NOTES = (
    f"A Gaussian source of {DIM} coordinates, whose SNR goes from {LEAST:g} to {MOST:g}, "
    "evenly in decibels. Sorted: blocks of neighbours, on a trellis",
    "the largest in the middle. At random: one permutation for all lattices. Prior scales "
    "s² = SNR + c, of the best c.",
)


class Row(NamedTuple):
    """Rates over Σ ½ log2(1 + SNR), bits per dimension."""

    lattice: Annotated[str, Column("lattice")]
    loss: Annotated[float, Column("½ log2(2πe G)", ".4f")]
    placed: Annotated[Estimate, Column("sorted")]
    mixed: Annotated[Estimate, Column("at random")]
    price: Annotated[Estimate, Column("price of mixing")]


def ratios() -> Tensor:
    """Return ``(96,)`` the signal-to-noise ratios, the largest first."""
    return torch.logspace(math.log10(MOST), math.log10(LEAST), DIM, dtype=torch.float64)


def sorted_ratios(lattice: Lattice) -> Tensor:
    """Return ``(96,)`` the ratios, alike together, the largest at the best coordinates."""
    order = torch.tensor(lattice.coordinate_ranking)
    blocks = ratios().view(-1, lattice.dim)
    return torch.empty_like(blocks).index_copy(1, order, blocks).flatten()


def excess(lattice: Lattice, snrs: Tensor, count: int, settings: Settings) -> Tensor:
    """Return ``(count,)``, bits per dimension over the Gaussian channel's, on independent sources.

    The prior scales are s² = SNR + c, with the c that suits other sources best.
    """
    generator = settings.generator("unevenblocks", lattice.name)
    code = make_code(MATCHED, lattice)

    def bits(samples: int, shift: float) -> Tensor:
        x = torch.randn(samples, DIM, generator=generator, dtype=torch.float64)
        x = (x * snrs.sqrt()).view(samples, -1, lattice.dim)
        u = lattice.sample_dither(x.shape[:2], generator, dtype=torch.float64)
        y = lattice.nearest_point(x + u) - u
        with torch.no_grad():
            log_s = 0.5 * (snrs + shift).log().view(-1, lattice.dim)
            nats = -code.log_prob(y, log_s, StreamNoise(generator)).sum(-1)
        # A control variate: its mean is n, and it depends on the source alone.
        energy = (y.flatten(1).square() / (1 + snrs)).sum(-1)
        shannon = 0.5 * (1 + snrs).log().sum()
        return (nats - 0.5 * (energy - DIM) - shannon) / (DIM * math.log(2))

    state = generator.get_state()

    def cost(shift: float) -> float:
        generator.set_state(state)
        return bits(PILOT, shift).mean().item()

    shift = golden_section(cost, 0.02, 4.0, 0.05)
    return bits(count, shift)


def _row(lattice: Lattice, settings: Settings) -> Row:
    mix = torch.randperm(DIM, generator=settings.generator("unevenblocks", "mix"))
    placed, mixed = (
        estimate(excess(lattice, snrs, settings.samples, settings))
        for snrs in (sorted_ratios(lattice), ratios()[mix])
    )
    error = math.hypot(placed.standard_error, mixed.standard_error)
    price = Estimate(mixed.mean - placed.mean, error)
    return Row(lattice.name, lattice.space_filling_loss, placed, mixed, price)


def rows(settings: Settings) -> list[Row]:
    """Compare sorted with mixed coordinates on every lattice."""
    return [_row(lattice, settings) for lattice in settings.lattices]
