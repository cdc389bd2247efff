import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Corpus

SCRIPT = Path(__file__).parent.parent / "scripts" / "bench_compression.py"


def test_prints_a_line_for_each_compressor_and_part(
    corpus: Corpus,
    trained: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["-model", str(trained("lattice_z")), "-src", str(corpus.test)]
    monkeypatch.setattr("sys.argv", ["bench_compression.py", *words])
    capsys.readouterr()
    runpy.run_path(str(SCRIPT), run_name="__main__")
    _, *lines = capsys.readouterr().out.splitlines()
    sizes = {
        line[:34].strip(): float(line[34:44]) for line in lines if line[34:44].strip().isdigit()
    }
    assert list(sizes)[:4] == ["the text", "gzip -9", "bzip2 -9", "xz -9e"]
    assert sizes["the text"] == len(corpus.test.read_bytes())
    parts = [size for name, size in list(sizes.items())[-5:-1]]
    assert sizes["lossless"] == pytest.approx(sum(parts), abs=2)
    assert sizes["representation switched off"] < sizes["lossless"]  # it has hardly been trained
