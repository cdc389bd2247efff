import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Corpus

SCRIPT = Path(__file__).parent.parent / "scripts" / "coded_table.py"


def test_it_holds_every_model_against_its_rate(
    corpus: Corpus,
    trained: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    models = [str(trained(name)) for name in ("lattice_z", "ste_vector")]
    monkeypatch.setattr("sys.argv", ["coded_table.py", "-model", *models, "-src", str(corpus.test)])
    capsys.readouterr()
    runpy.run_path(str(SCRIPT), run_name="__main__")
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2
    for row in rows:
        rate, points, bits, over, _ = map(int, row.strip("| ").split(" | ")[1:])
        assert abs(points - rate) < 0.001 * rate + 16
        assert points < bits
        assert over == pytest.approx(bits - rate, abs=1)
