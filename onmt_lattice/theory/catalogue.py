"""All experiments, and the lattices they are made on."""

from __future__ import annotations

from onmt_lattice.lattices import lattice_names
from onmt_lattice.theory.cells import FIGURE1
from onmt_lattice.theory.crypto_lemma import CRYPTO
from onmt_lattice.theory.curvature import LEMMA2
from onmt_lattice.theory.gaussian_limit import GAUSSIAN_LIMIT
from onmt_lattice.theory.rate_distortion import RATE_DISTORTION
from onmt_lattice.theory.rate_identity import THEOREM1
from onmt_lattice.theory.second_moments import MOMENTS
from onmt_lattice.theory.systems import FIGURE2
from onmt_lattice.theory.uneven_blocks import UNEVEN_BLOCKS

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        FIGURE1,
        FIGURE2,
        CRYPTO,
        THEOREM1,
        LEMMA2,
        MOMENTS,
        RATE_DISTORTION,
        GAUSSIAN_LIMIT,
        UNEVEN_BLOCKS,
    )
}


def paper_lattices() -> list[str]:
    """Return the six lattices of the tables, of those that there are, by dimension."""
    names = set(lattice_names())
    return [name for name in ("Z", "A2", "D4", "E8", "BW16", "Leech") if name in names]
