from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Corpus


def test_it_holds_every_model_against_its_rate(
    corpus: Corpus, trained: Callable[[str], Path], script: Callable[..., list[str]]
) -> None:
    models = [trained(name) for name in ("lattice_z", "ste_vector")]
    _, _, *rows = script("coded_table.py", "-model", *models, "-src", corpus.test)
    assert len(rows) == 2
    for row in rows:
        rate, points, bits, over, _ = map(int, row.strip("| ").split(" | ")[1:])
        assert abs(points - rate) < 0.001 * rate + 16
        assert points < bits
        assert over == pytest.approx(bits - rate, abs=1)
