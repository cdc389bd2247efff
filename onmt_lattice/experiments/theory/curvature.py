"""Lemma 2: white dither costs a smooth loss its curvature, and nothing else to first order.

E η(x + σU) − η(x) ≈ σ²/2 · tr H(x), where E UUᵀ is the identity and H the Hessian of η; the shape
of the Voronoi cell does not enter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.autograd.functional import hessian

from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.estimates import Estimate, estimate
from onmt_lattice.experiments.theory.experiments import Settings

Smooth = Callable[[Tensor], Tensor]  # (..., n) to (...)

SIGMAS = {"whole": 1.0, "half": 0.5, "quarter": 0.25, "eighth": 0.125}
TITLE = "Lemma 2, (E η(x + σU) − η(x)) / (σ²/2 · tr H)"
NOTES = (
    "1 for the quadratic form at every σ, and for the others as σ → 0, up to a multiple of σ².",
    "Errors of one lattice go together: all its numbers come from the same dithers.",
)


class Row(NamedTuple):
    """The ratio of both sides at four σ; 1 as σ → 0, and for a quadratic at every σ."""

    lattice: Annotated[str, Column("lattice")]
    eta: Annotated[str, Column("η")]
    trace: Annotated[float, Column("tr H")]
    whole: Annotated[Estimate, Column("σ = 1")]
    half: Annotated[Estimate, Column("σ = 0.5")]
    quarter: Annotated[Estimate, Column("σ = 0.25")]
    eighth: Annotated[Estimate, Column("σ = 0.125")]


def direction(n: int) -> Tensor:
    """Return ``(n,)`` float64, a vector of length 1 with unequal entries."""
    a = torch.linspace(1.0, 2.0, n, dtype=torch.float64) if n > 1 else torch.ones(1).double()
    return a / a.norm()


def smooth_functions(n: int) -> dict[str, Smooth]:
    """Return η on ℝⁿ by name, the last of them a loss such as a decoder has."""
    index = torch.arange(n, dtype=torch.float64)
    a = direction(n)
    form = 1 / (1 + (index[:, None] - index).abs())
    logits = torch.outer(torch.arange(5) - 2.0, a) + torch.eye(5, n, dtype=torch.float64)
    return {
        "quadratic form": lambda x: 0.5 * ((x @ form) * x).sum(-1) + x @ a,
        "exponential": lambda x: (x @ a).exp(),
        "cosine": lambda x: (x @ a).cos(),
        "cross-entropy": lambda x: (x @ logits.T).logsumexp(-1) - (x @ logits.T)[..., 0],
    }


def ratio(eta: Smooth, x: Tensor, u: Tensor, sigma: float, trace: float) -> Estimate:
    """Return (E η(x + σU) − η(x)) / (σ²/2 tr H) from dithers ``u`` ``(N, n)``.

    As the cell is symmetric, ±U are drawn in pairs: odd functions of U cancel exactly.
    """
    rise = (eta(x + sigma * u) + eta(x - sigma * u)) / 2 - eta(x)
    return estimate(rise / (sigma**2 / 2 * trace))


def rows(settings: Settings) -> list[Row]:
    """Measure the ratio for every lattice and several η."""
    every = []
    for lattice in settings.lattices:
        generator = settings.generator("lemma2", lattice.name)
        u = lattice.sample_dither((settings.samples,), generator, dtype=torch.float64)
        x = direction(lattice.dim) / 2
        for name, eta in smooth_functions(lattice.dim).items():
            trace = hessian(eta, x).trace().item()
            ratios = {field: ratio(eta, x, u, sigma, trace) for field, sigma in SIGMAS.items()}
            every.append(Row(lattice.name, name, trace, **ratios))
    return every
