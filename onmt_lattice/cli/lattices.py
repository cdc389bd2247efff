"""``onmt_lattice lattices``."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from onmt_lattice.config import SIZE, Config, option, parse
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.tables import Column, Table, columns


class Row(NamedTuple):
    """A lattice and its costs; see the notes of the table."""

    lattice: Annotated[str, Column("lattice")]
    dim: Annotated[int, Column("dimensions")]
    loss: Annotated[float, Column("loss")]
    saved: Annotated[float, Column("saved (%)", ".1f")]
    states: Annotated[int | None, Column("states")] = None
    edges: Annotated[int | None, Column("edges")] = None


@dataclass(frozen=True, kw_only=True)
class LatticesOptions(Config):
    """List the lattices, the cheapest in bits last.

    The table shows the cost of each over a perfect one, and the work to find a nearest point. The
    names are those of -lattice.

    example: onmt_lattice lattices -dim 96
    """

    dim: int = option(
        480, "dimensions of the convolutional lattices, an even number", range=SIZE, metavar="N"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % 2:
            raise UserError(f"-dim {self.dim}: expected an even number")


def run(argv: list[str]) -> None:
    """Print the table."""
    options = parse("lattices", LatticesOptions, argv)
    print(table(options.dim).text())


def table(dim: int) -> Table:
    """Return a row for each lattice; of the convolutional ones, those in ``dim`` dimensions."""
    from onmt_lattice.lattices import lattice_names, make_lattice
    from onmt_lattice.lattices.base import space_filling_loss
    from onmt_lattice.lattices.convolutional import ConvolutionalLattice
    from onmt_lattice.lattices.generators import GENERATORS

    lattices = [make_lattice(name) for name in lattice_names() if "conv" not in name]
    for name in GENERATORS:
        with suppress(UserError):
            lattices.append(make_lattice(name, n=dim))
    cubic = make_lattice("Z").space_filling_loss
    rows = []
    for lattice in lattices:
        name, loss = lattice.name.partition("-")[0], lattice.space_filling_loss
        row = Row(name, lattice.dim, loss, 100 * (1 - loss / cubic))
        if isinstance(lattice, ConvolutionalLattice):
            states, q = lattice.encoder.states, lattice.encoder.q
            row = row._replace(states=states, edges=states * q // 2)
        rows.append(row)
    ball = math.exp(2 / dim * math.lgamma(dim / 2 + 1)) / ((dim + 2) * math.pi)  # its G
    possible = 100 * (1 - space_filling_loss(ball) / cubic)
    notes = (
        "loss: the space-filling loss 1/2 log2(2 pi e G), bits per dimension: a lattice's cost",
        "over Gaussian noise at high signal-to-noise ratio. saved: share of Z's loss; in",
        f"{dim} dimensions {possible:.1f} % is possible. edges: of the trellis, per dimension; the",
        "time of a nearest point grows with them.",
    )
    rows.sort(key=lambda row: -row.loss)
    return Table("lattices", columns(Row), rows, notes)
