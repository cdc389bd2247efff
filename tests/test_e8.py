import itertools

import torch

from onmt_lattice.lattices import make_lattice


def test_the_240_shortest_vectors() -> None:
    """(±1, ±1, 0⁶) in all places, and (±½)⁸ with an even number of minus signs."""
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=8)))
    halves = signs[signs.prod(-1) > 0] / 2
    units = torch.eye(8)
    pairs = [
        a * units[i] + b * units[j]
        for i, j in itertools.combinations(range(8), 2)
        for a, b in itertools.product([-1, 1], repeat=2)
    ]
    roots = torch.cat([halves, torch.stack(pairs)])
    assert len(roots) == 240
    assert make_lattice("E8").contains(roots).all()
    assert not make_lattice("E8").contains(signs[signs.prod(-1) < 0] / 2).any()
