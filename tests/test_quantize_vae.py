"""The example of a lattice in a model that is not about text runs, and says what theory says."""

from __future__ import annotations

from collections.abc import Callable


def test_lattices_cost_more_than_the_gaussian_and_the_better_one_less(
    script: Callable[..., list[str]],
) -> None:
    rows = {line.split()[0]: line.split()[2::2] for line in script("quantize_vae.py")}
    nll, rate, _ = zip(*(map(float, rows[name]) for name in ("Gaussian", "E8", "Z")), strict=True)
    assert rate[0] < rate[1] < rate[2] < rate[0] + 8 * 0.2546  # at most Z's loss a dimension
    assert max(nll) - min(nll) < 0.5
