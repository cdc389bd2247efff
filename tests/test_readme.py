"""The README's commands, extracted from it and run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from onmt_lattice.cli import main
from onmt_lattice.experiments.corpus import corpus_text

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORTER = {"500000": "20", "rnn_size: 500": "rnn_size: 32", "valid_steps: 5000": "valid_steps: 20"}


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in ``language``."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def commands() -> list[str]:
    """Return every line of the README's shell blocks."""
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


def test_the_commands_on_ones_own_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = corpus_text("valid").splitlines(keepends=True)
    for name, part in (("train", lines[:600]), ("valid", lines[600:640]), ("test", lines[640:700])):
        (tmp_path / f"{name}.txt").write_text("".join(part), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (config,) = blocks("yaml")
    script = "\n".join([config, *commands()])
    for long, short in SHORTER.items():
        assert long in script, f"{long} is gone from the README; shorten what stands there now"
        config = config.replace(long, short)
    (tmp_path / "my.yaml").write_text(config, encoding="utf-8")
    ours = [line for line in commands() if re.match("onmt_lattice (?!sweep)", line)]
    names = [line.split()[1] for line in ours]
    expected = ["build_vocab", "train", "quantize", "evaluate", "translate", "plot"]
    assert names == [*expected, "encode", "decode", "compress", "inspect", "decompress"]
    interpolation, _, compression = blocks("python")
    for line in ours:
        if line.startswith("onmt_lattice decode"):
            exec(interpolation, {})
        assert main(shlex.split(line.replace("500000", "20"))[1:]) == 0, line
    assert (tmp_path / "rate_nll.png").exists()
    assert len((tmp_path / "decoded.txt").read_text(encoding="utf-8").splitlines()) == 60
    decoded = (tmp_path / "decoded.txt").read_text(encoding="utf-8").splitlines()
    between = (tmp_path / "between.txt").read_text(encoding="utf-8").splitlines()
    assert len(between) == 5 and [between[0], between[-1]] == decoded[:2]
    assert "bits per" in capfd.readouterr().out
    found: dict[str, Any] = {}
    exec(compression.replace("500000", "20"), found)
    assert len(found["texts"]) == 2 == len(found["scores"].rate_bits)


def test_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An evening's work: what it would run is looked at, not done."""
    (line,) = [line for line in commands() if line.startswith("onmt_lattice sweep")]
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "multi30k").mkdir()
    for name in ("train", "valid", "test"):
        (tmp_path / f"multi30k/{name}.en").write_text("a man .\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(line)[1:], "-commands"]) == 0
    lines = capsys.readouterr().out.splitlines()
    config = "runs/captions/gaussian_0.1_seed1/config.yaml"
    assert lines[1] == f"onmt_lattice train -config {config} -resume auto"
    assert (tmp_path / config).is_file()


def test_the_python_example() -> None:
    _, example, _ = blocks("python")
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["z"].shape == (1000, 8)
    assert names["output"].shape == (3, 500)
    assert names["decoded"].equal(names["points"])
    assert len(names["data"]) < 120  # type: ignore[arg-type]


def test_make_has_the_targets_that_are_named() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = {line.split()[1] for line in commands() if line.startswith("make ")}
    assert named == {"demo", "test"} <= targets
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(r"^make .*\btest\b", script, flags=re.M)


def test_every_file_it_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
