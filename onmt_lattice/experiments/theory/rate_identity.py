"""Theorem 1: the expected codeword length is the rate that training minimises.

E −log P(Ẑ = Z | U) over the quantized Z = K(X + U) is E log f_U(U) / f_{X̂−U}(X − U), in which
nothing is quantized, for any law of X whatever the prior X̂.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from onmt_lattice.codes import code_names
from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.estimates import (
    Estimate,
    codeword_bits,
    estimate,
    points_of_blocks,
)
from onmt_lattice.experiments.theory.experiments import Settings
from onmt_lattice.lattices import Lattice

TITLE = "Theorem 1, both sides, for an X that the prior does not fit"
NOTES = (
    "X: Laplace, of mean 0.5, its coordinates dependent; prior scales from 1 to 2 over "
    "the coordinates.",
    "The convolved code is a mean over 64 points of the cell but on Z, so that both of "
    "its sides are upper bounds, equally so.",
)


class Row(NamedTuple):
    """Both sides of Theorem 1 in bits per dimension; their difference is taken X by X."""

    lattice: Annotated[str, Column("lattice")]
    code: Annotated[str, Column("code")]
    quantized: Annotated[Estimate, Column("codeword of Z (bits/dim)")]
    relaxed: Annotated[Estimate, Column("training rate (bits/dim)")]
    difference: Annotated[Estimate, Column("difference")]
    apart: Annotated[float, Column("apart (s.e.)", "+.1f")]


def mismatched_source(samples: int, dim: int, generator: torch.Generator) -> Tensor:
    """Return ``(samples, dim)`` X that no prior here fits: Laplace, off centre, dependent."""
    uniform = torch.rand(samples, dim + 1, generator=generator, dtype=torch.float64)
    away = uniform.clamp(1e-12, 1 - 1e-12) - 0.5
    laplace = -away.sign() * torch.log1p(-2 * away.abs())
    return 0.5 + laplace[:, 1:] - 0.5 * laplace[:, :-1]


def both_sides(code: str, lattice: Lattice, settings: Settings) -> Row:
    """Return both sides, each with a dither of its own, under a prior of uneven scales."""
    generator = settings.generator("theorem1", lattice.name, code)
    count, n = points_of_blocks(settings.samples, lattice), lattice.dim
    log_s = torch.linspace(1.0, 2.0, n, dtype=torch.float64).log()
    x = mismatched_source(count, n, generator)
    u = lattice.sample_dither((count,), generator, dtype=torch.float64)
    z = lattice.nearest_point(x + u)
    quantized = codeword_bits(code, lattice, log_s, z - u, generator)
    fresh = lattice.sample_dither((count,), generator, dtype=torch.float64)
    relaxed = codeword_bits(code, lattice, log_s, x - fresh, generator)
    difference = estimate(quantized - relaxed)
    return Row(
        lattice=lattice.name,
        code=code,
        quantized=estimate(quantized),
        relaxed=estimate(relaxed),
        difference=difference,
        apart=difference.errors_from(0.0),
    )


def rows(settings: Settings) -> list[Row]:
    """Measure both sides for every lattice and both codes."""
    return [
        both_sides(code, lattice, settings)
        for lattice in settings.lattices
        for code in code_names()
    ]
