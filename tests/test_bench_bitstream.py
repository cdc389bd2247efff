import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "bench_bitstream.py"


def test_prints_a_line_for_each_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-lattices", "Z", "E8", "-sentences", "20", "-dim", "48"]
    monkeypatch.setattr("sys.argv", ["bench_bitstream.py", *options])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    _, *lines = capsys.readouterr().out.splitlines()
    names = ["Z discrete_gaussian", "Z convolved_gaussian", "E8^6 discrete_gaussian"]
    names.append("constriction QuantizedGaussian")
    assert [text[:31].strip() for text in lines] == names
    assert all(float(number) > 0 for text in lines for number in text[31:].split()[:3])
