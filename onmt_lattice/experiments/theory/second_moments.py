"""The normalized second moments G(Λ): how far each lattice goes from the cube to the ball."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch

from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.estimates import Estimate, estimate
from onmt_lattice.experiments.theory.experiments import Settings
from onmt_lattice.lattices import Lattice
from onmt_lattice.lattices.base import space_filling_loss

CUBE = 1 / 12
CUBE_LOSS = space_filling_loss(CUBE)
LIMIT = 1 / (2 * math.pi * math.e)  # of the best lattices as n → ∞ (Zamir & Feder, 1996)
LARGEST_BATCH = 65_536
LARGEST = 24  # dimensions up to which all samples are drawn
LEAST_POINTS = 100
TITLE = "the normalized second moment G(Λ), and the way from Z to the limit"
NOTES = (
    f"Limit 1/(2πe) = {LIMIT:.6f}. At the same rate, at high resolution, a lattice has",
    f"G(Λ)/G(Z) of the squared error of Z: at best {100 * (LIMIT / CUBE - 1):+.2f} %. "
    "Loss is ½ log2(2πe G).",
    "The published G of BW16 and Leech are simulations themselves (SPLAG, table 2.3), as are",
    "those of the convolutional ones (scripts/search_generators.py). Of lattices of n > 24 "
    "dimensions 24/(5n) as many points are drawn.",
)


class Row(NamedTuple):
    """G of one lattice, and numbers that follow from it."""

    lattice: Annotated[str, Column("lattice")]
    dim: Annotated[int, Column("n")]
    nsm: Annotated[Estimate, Column("G(Λ) estimated")]
    published: Annotated[float, Column("published", ".6f")]
    apart: Annotated[float, Column("apart (s.e.)", "+.1f")]
    share: Annotated[Estimate, Column("share of the way (%)")]
    error: Annotated[Estimate, Column("error against Z (%)")]
    loss: Annotated[Estimate, Column("loss (bits/dim)")]
    share_of_loss: Annotated[Estimate, Column("share of Z's loss saved (%)")]


def _row(lattice: Lattice, settings: Settings) -> Row:
    generator = settings.generator("moments", lattice.name)
    samples = settings.samples
    if lattice.dim > LARGEST:  # a point of more numbers is a better estimate
        samples = max(LEAST_POINTS, samples * LARGEST // (5 * lattice.dim))
    sizes = [min(LARGEST_BATCH, samples - done) for done in range(0, samples, LARGEST_BATCH)]
    squares = [lattice.sample_dither((n,), generator).square().mean(-1) for n in sizes]
    # G = E‖U‖² / (n V^(2/n)), from points U uniform on the Voronoi cell
    nsm = estimate(torch.cat(squares)).affine(lattice.nsm / lattice.second_moment)
    loss = Estimate(space_filling_loss(nsm.mean), nsm.standard_error / (2 * math.log(2) * nsm.mean))
    return Row(
        lattice=lattice.name,
        dim=lattice.dim,
        nsm=nsm,
        published=lattice.nsm,
        apart=nsm.errors_from(lattice.nsm),
        share=nsm.affine(-100 / (CUBE - LIMIT), 100 * CUBE / (CUBE - LIMIT)),
        error=nsm.affine(100 / CUBE, -100),
        loss=loss,
        share_of_loss=loss.affine(-100 / CUBE_LOSS, 100.0),
    )


def rows(settings: Settings) -> list[Row]:
    """Estimate G of every lattice."""
    return [_row(lattice, settings) for lattice in settings.lattices]
