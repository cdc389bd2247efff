"""One structure, two semirings: the nearest point's distance is a fold as the theta series is."""

import pytest
import torch
from test_lattices import LATTICES, scales, uniform

from onmt_lattice.lattices import make_lattice
from onmt_lattice.lattices.trellis import MAX, TrellisLattice

TRELLIS_LATTICES = [name for name in LATTICES if isinstance(make_lattice(name), TrellisLattice)]


@pytest.mark.parametrize("name", TRELLIS_LATTICES)
def test_max_fold_is_the_distance_to_the_nearest_point(name: str) -> None:
    lattice, rng = make_lattice(name), torch.Generator().manual_seed(0)
    assert isinstance(lattice, TrellisLattice)
    x = uniform(lattice, 200, rng)
    log_s = torch.zeros(lattice.dim, dtype=torch.float64)
    expected = -(x - lattice.nearest_point(x)).square().sum(-1) / 2
    torch.testing.assert_close(lattice._fold(x, log_s, MAX), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", TRELLIS_LATTICES)
def test_max_fold_is_the_largest_term_of_the_sum_at_any_scales(name: str) -> None:
    """As s → 0 at fixed ratios, log Θ tends to its largest exponent, from above."""
    lattice, rng = make_lattice(name), torch.Generator().manual_seed(0)
    assert isinstance(lattice, TrellisLattice)
    y, log_s = uniform(lattice, 50, rng), scales(lattice, 50, rng)
    for shrink, slack in ((0.0, 20.0), (-6.0, 1.0)):
        excess = lattice.log_theta(y, log_s + shrink) - lattice._fold(y, log_s + shrink, MAX)
        assert excess.min() > -1e-6
        assert excess.max() < slack
