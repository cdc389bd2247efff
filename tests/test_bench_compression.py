from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Corpus


def test_prints_a_line_for_each_compressor_and_part(
    corpus: Corpus, trained: Callable[[str], Path], script: Callable[..., list[str]]
) -> None:
    words = ("-model", trained("lattice_z"), "-src", corpus.test)
    _, *lines = script("bench_compression.py", *words)
    sizes = {
        line[:34].strip(): float(line[34:44]) for line in lines if line[34:44].strip().isdigit()
    }
    assert list(sizes)[:4] == ["the text", "gzip -9", "bzip2 -9", "xz -9e"]
    assert sizes["the text"] == len(corpus.test.read_bytes())
    parts = [size for name, size in list(sizes.items())[-5:-1]]
    assert sizes["lossless"] == pytest.approx(sum(parts), abs=2)
    assert sizes["representation switched off"] < sizes["lossless"]  # it has hardly been trained
