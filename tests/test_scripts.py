"""Scripts that measure print what they say, small."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from bench_rate_distortion import fsq, gaussian_quant, lloyd_max, trellis
from conftest import SCRIPTS, Capture, Corpus, Script, Trained


def test_scripts_that_name_an_interpreter_are_commands() -> None:
    for path in filter(Path.is_file, SCRIPTS.iterdir()):
        assert path.read_bytes().startswith(b"#!") == os.access(path, os.X_OK), path.name


def test_no_preset_is_a_mistake_in_a_line(script: Script, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        script("reproduce_figure3", "caption")
    said = capsys.readouterr().err
    assert "unknown preset 'caption'; did you mean 'captions'?" in said and said.count("\n") == 1
    with pytest.raises(SystemExit, match=r"^0$"):
        script("reproduce_figure3", "--help")
    assert "presets: captions, paper" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        (
            "coded_table.py",
            ["-model", "none", "-src", "README.md"],
            "checkpoint none: no such file",
        ),
        ("merge_results.py", ["none.json", "-output", "drawn"], "none.json: cannot be read"),
        ("bench_lattices.py", ["-lattices", "E9"], "unknown lattice 'E9'"),
        ("bench_compression.py", ["-src", "none.en"], "none.en: no such file"),
    ],
)
def test_a_mistake_is_a_line(script: Script, name: str, words: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        script(name, *words)


def test_prints_a_line_for_each_compressor_and_part(
    corpus: Corpus, trained: Trained, script: Script
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


def test_training_is_timed_beside_stock_s(script: Script) -> None:
    small = ("-rounds", 2, "-steps", 5, "-dim", 16, "-batch", 4, "-vocabulary", 50)
    title, head, *lines = script(
        "bench_training.py", *small, "-only", "none", "gaussian", "4 slots"
    )
    assert title == "50 words, batches of 4, 2 rounds of 5 steps on the CPU"
    assert "steps/s" in head and "h/500000" in head
    numbers = (line[18:].replace("to", "").split() for line in lines)
    rows = {line[:18].strip(): list(map(float, n)) for line, n in zip(lines, numbers, strict=True)}
    stock = ["stock onmt_train", "stock transformer"]
    assert list(rows) == [*stock, "none", "gaussian", "4 slots"]
    for ms, steps, tokens, hours, *_ in rows.values():
        assert steps == pytest.approx(1000 / ms, rel=0.05)
        assert hours == pytest.approx(500_000 / steps / 3600, rel=0.05)
        assert tokens > steps
    assert rows["none"][-1] == pytest.approx(rows["stock onmt_train"][-1], abs=1e-4)
    assert rows["gaussian"][-1] != rows["none"][-1]


def test_it_holds_every_model_against_its_rate(
    corpus: Corpus, trained: Trained, script: Script
) -> None:
    models = [trained(name) for name in ("lattice_z", "ste_vector")]
    _, _, *rows = script("coded_table.py", "-model", *models, "-src", corpus.test)
    assert len(rows) == 2
    for row in rows:
        rate, points, bits, over, _ = map(int, row.strip("| ").split(" | ")[1:])
        assert abs(points - rate) < 0.001 * rate + 16
        assert points < bits
        assert over == pytest.approx(bits - rate, abs=1)


def test_lattices_cost_more_than_the_gaussian_and_the_better_one_less(script: Script) -> None:
    rows = {line.split()[0]: line.split()[2::2] for line in script("quantize_vae.py")}
    nll, rate, _ = zip(*(map(float, rows[name]) for name in ("Gaussian", "E8", "Z")), strict=True)
    assert rate[0] < rate[1] < rate[2] < rate[0] + 8 * 0.2546  # at most Z's loss a dimension
    assert max(nll) - min(nll) < 0.5


def test_vectors_are_held_beside_faiss(script: Script, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    pytest.importorskip("sklearn")
    lines = script("bench_vectors.py", "-rows", 400, "-output", tmp_path)
    rows = [line for line in lines if " FAISS " in line or " VectorCodec " in line]
    assert {line.split()[0] for line in rows} == {"digits", "Gaussian"}
    assert (tmp_path / "vectors.txt").is_file() and (tmp_path / "vectors.png").is_file()


@pytest.mark.parametrize("missing", ["faiss", "sklearn.datasets"])
def test_what_vectors_are_held_beside_is_asked_for(
    script: Script, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit, match="is missing: pip install faiss-cpu scikit-learn"):
        script("bench_vectors.py", "-rows", 400)


def test_quantizers_of_gaussian_numbers_have_their_known_gaps() -> None:
    """Of Lloyd and Max (1960) at 2 bits: 2 - 1/2 log2(1/0.1175); the others' are a few per cent."""
    rng = np.random.default_rng(0)
    train, x = rng.standard_normal((2, 8192))
    gaps = []
    random = (gaussian_quant(rng, x, 2), trellis(rng, x, 2))
    for codes in (lloyd_max(train, x, 2), fsq(train, x, 2), *random):
        for _, bits, back, _, _ in codes:
            gaps.append(bits + 0.5 * math.log2(np.square(back - x[: back.size]).mean()))
    assert gaps == pytest.approx([0.456, 0.46, 0.37, 0.303, 0.13], abs=0.04)


def test_more_codewords_than_numbers_say_come_near_the_gaussian_and_fewer_do_not(
    corpus: Corpus, trained: Trained, script: Script, tmp_path: Path
) -> None:
    words = ("-model", trained("gaussian"), "-src", corpus.valid, "-groups", 1, 16)
    output = ("-output", tmp_path / "table.txt")
    lines = script("bench_gaussian_quant.py", *words, "-bits", 8, *output)
    found = {line[:28].strip(): line[28:].split() for line in lines[3:6]}
    assert list(found) == ["Gaussian", "Gaussian Quant, 1 × 8 bits", "Gaussian Quant, 16 × 8 bits"]
    few, many = (list(map(float, row)) for row in list(found.values())[1:])
    assert many[1] == pytest.approx(16 * few[1], rel=1e-2)
    assert abs(many[5]) < abs(few[5])
