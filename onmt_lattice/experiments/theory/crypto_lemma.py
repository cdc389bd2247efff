"""The Crypto-Lemma: given X, the decoder's input has one law with and without a quantizer.

With U uniform on the Voronoi cell and Z = K(X + U), both Z − U and X − U are X plus an error
uniform on the cell, whatever X is (Zamir & Feder, 1996).
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.estimates import Estimate, estimate
from onmt_lattice.experiments.theory.experiments import Settings
from onmt_lattice.lattices import Lattice

SIGNIFICANCE = 0.01  # of the whole table: that any KS distance in it passes its critical value
TITLE = "the Crypto-Lemma, Z − U against X − U given X (dither of second moment 1)"
NOTES = (
    "KS: the largest two-sample Kolmogorov-Smirnov distance over coordinates, their "
    "partial sums and the norm;",
    "by chance at most one such table in a hundred has a value above its critical one.",
    "The last column is the control: a dither half as wide, for which the lemma does not hold.",
)


class Row(NamedTuple):
    """The errors Z − U − X and −U compared, given one X."""

    lattice: Annotated[str, Column("lattice")]
    given: Annotated[str, Column("given X")]
    mean: Annotated[float, Column("largest |mean| (s.e.)", ".1f")]
    quantized: Annotated[Estimate, Column("E‖Z−U−X‖²/n")]
    relaxed: Annotated[Estimate, Column("E‖U‖²/n")]
    statistic: Annotated[float, Column("largest KS")]
    critical: Annotated[float, Column("critical (1 %)")]
    control: Annotated[float, Column("KS at half the dither")]


def kolmogorov_smirnov(a: Tensor, b: Tensor) -> Tensor:
    """Return ``(k,)``, the largest distance of the CDFs of samples ``(N, k)`` and ``(M, k)``."""
    a, b = a.T.contiguous().sort().values, b.T.contiguous().sort().values
    both = torch.cat([a, b], 1)
    cdf_a = torch.searchsorted(a, both, right=True) / a.shape[1]
    cdf_b = torch.searchsorted(b, both, right=True) / b.shape[1]
    return (cdf_a - cdf_b).abs().amax(1)


def critical_value(samples: int, statistics: int) -> float:
    """Return the value that ``statistics`` KS distances exceed with probability 1 % at most.

    Asymptotic, for two samples of ``samples`` points each, with Bonferroni's correction.
    """
    return math.sqrt(-math.log(SIGNIFICANCE / statistics / 2) / samples)


def features(error: Tensor) -> Tensor:
    """Return ``(N, 2n + 1)``: coordinates, sums of all coordinates up to each, and the norm.

    The norm and the sums see how coordinates hang together.
    """
    norm = error.norm(dim=-1, keepdim=True)
    return torch.cat([error, error.cumsum(-1), norm], -1)


def compare(name: str, x: Tensor, lattice: Lattice, settings: Settings, rows: int) -> Row:
    """Return the row for X = ``x`` ``(n,)``, one of ``rows`` that are judged together."""
    generator = settings.generator("crypto", lattice.name, name)
    count = settings.samples

    def dither() -> Tensor:
        return lattice.sample_dither((count,), generator, dtype=torch.float64)

    def error(u: Tensor) -> Tensor:
        return lattice.nearest_point(x + u) - u - x

    quantized, relaxed = error(dither()), -dither()
    control = features(error(dither() / 2))
    expected = features(relaxed)
    means = [estimate(column) for column in quantized.T]
    return Row(
        lattice=lattice.name,
        given=name,
        mean=max(abs(mean.errors_from(0.0)) for mean in means),
        quantized=estimate(quantized.square().mean(-1)),
        relaxed=estimate(relaxed.square().mean(-1)),
        statistic=kolmogorov_smirnov(features(quantized), expected).max().item(),
        critical=critical_value(count, rows * expected.shape[1]),
        control=kolmogorov_smirnov(control, expected).max().item(),
    )


def rows(settings: Settings) -> list[Row]:
    """Compare the laws on every lattice, given three X: 0, one on a wall of cells, and any."""
    every = []
    for lattice in settings.lattices:
        wall = lattice.basis[0] / 2
        generator = settings.generator("crypto", lattice.name)
        anywhere = 3 * torch.randn(lattice.dim, generator=generator, dtype=torch.float64)
        for name, x in (("0", 0 * wall), ("half a point", wall), ("random", anywhere)):
            every.append(compare(name, x, lattice, settings, 3 * len(settings.lattices)))
    return every
