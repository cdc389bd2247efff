"""The pages of the project: indexed, of today's code, and their commands run."""

from __future__ import annotations

import pydoc
import re
import runpy
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Capture

from onmt_lattice.cli import main
from onmt_lattice.experiments.corpus import corpus_text

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts/make_api_page.py"))
API = (ROOT / "docs/api.md").read_text(encoding="utf-8")


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").glob("**/*.md")}
    assert [p for p in pages - {Path("README.md")} if f"]({p})" not in index] == []


def test_the_library_page_is_of_todays_docstrings() -> None:
    assert SCRIPT["page"]() == API, "run scripts/make_api_page.py"


# What a reader in a hurry has to decode, and the usual words for it.
UNUSUAL = {
    r"bits an? (word|sentence|dimension|token)": "bits per ...",
    r"(is|are|and) told|tells": "is logged, is reported, shows",
    r"goes on|go on|gone on|going on": "continues, resumes",
    r"left out|leaves? out": "skipped",
    r"is no number|is no vocabulary|no UTF-8": "not a number, not a vocabulary file, not UTF-8",
}
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md"), ROOT / "data/README.md"]


@pytest.mark.parametrize("words", UNUSUAL, ids=UNUSUAL.values())
def test_pages_use_the_usual_words(words: str) -> None:
    pages = [page for page in PAGES if page != ROOT / "docs/api.md"]  # of the docstrings
    found = [
        f"{page.relative_to(ROOT)}:{number}: {line}"
        for page in pages
        for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1)
        if re.search(rf"\b({words})\b", line)
    ]
    assert found == []


SHORTER = {"500000": "20", "rnn_size: 500": "rnn_size: 32", "valid_steps: 5000": "valid_steps: 20"}


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in ``language``."""
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), flags=re.M | re.S)


def commands(*pages: str) -> list[str]:
    """Return every line of the shell blocks of pages, without its comment."""
    lines = [line for page in pages for block in blocks(page, "bash") for line in block.split("\n")]
    return [line.partition("  #")[0] for line in lines if line.strip()]


def quick_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder with the data and a shorter file of the quick start the current one."""
    shutil.copytree(ROOT / "data/quickstart", tmp_path / "data/quickstart")
    (tmp_path / "configs").mkdir()
    config = text("configs/quickstart.yaml")
    for name in ("train_steps: 1200", "valid_steps: 500", "save_checkpoint_steps: 500"):
        assert name in config
        config = config.replace(name, f"{name.split()[0]} 20")
    (tmp_path / "configs/quickstart.yaml").write_text(config, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_the_quick_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_start(tmp_path, monkeypatch)
    ours = [line for line in commands("README.md") if re.match("onmt_lattice (?!prepare)", line)]
    names = ["build_vocab", "train", "quantize", "evaluate", "compress", "decompress"]
    assert [line.split()[1] for line in ours] == names
    for line in ours:
        assert main(shlex.split(line.replace("1200", "20"))[1:]) == 0, line
    assert len((tmp_path / "test.out").read_text(encoding="utf-8").splitlines()) == 300
    found: dict[str, Any] = {}
    (example,) = blocks("README.md", "python")
    exec(example, found)
    assert found["texts"] == ["the old baker sleeps"] and found["vectors"].shape == (1, 96)
    assert len(found["scores"].rate_bits) == 1


def test_the_commands_of_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_start(tmp_path, monkeypatch)
    make_targets, program = blocks("docs/tasks.md", "python")
    exec(make_targets, {})
    for name, config in zip(("backwards", "slots"), blocks("docs/tasks.md", "yaml"), strict=True):
        (tmp_path / f"{name}.yaml").write_text(config, encoding="utf-8")
    lines = commands("docs/tasks.md")
    names = ["build_vocab", "train", "quantize", "evaluate", "translate", "compress", "decompress"]
    assert [line.split()[1] for line in lines] == [*names, "encode", "decode", *names[1:4]]
    for line in lines:
        assert main(shlex.split(line.replace("1200", "20"))[1:]) == 0, line
    written = [
        Path(f"{name}") for name in ("pred.txt", "translated.txt", "test.out", "decoded.txt")
    ]
    assert len({path.read_text(encoding="utf-8") for path in written}) == 1
    found: dict[str, Any] = {}
    exec(program, found)
    assert len(found["texts"]) == len(found["scores"].nll_bits) == 1


def test_the_commands_on_ones_own_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    lines = corpus_text("valid").splitlines(keepends=True)
    for name, part in (("train", lines[:600]), ("valid", lines[600:640]), ("test", lines[640:700])):
        (tmp_path / f"{name}.txt").write_text("".join(part), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (config,) = blocks("docs/train.md", "yaml")
    pages = commands("docs/train.md", "docs/compress.md")
    script = "\n".join([config, *pages])
    for long, short in SHORTER.items():
        assert long in script, f"{long} is gone from the page; shorten what stands there now"
        config = config.replace(long, short)
    (tmp_path / "my.yaml").write_text(config, encoding="utf-8")
    ours = [line for line in pages if line.startswith("onmt_lattice ")]
    names = [line.split()[1] for line in ours]
    expected = ["build_vocab", "train", "quantize", "evaluate", "translate", "plot", "export"]
    assert names == [*expected, "encode", "decode", "compress", "inspect", "decompress"]
    (interpolation,) = blocks("docs/compress.md", "python")
    _, program = blocks("docs/library.md", "python")
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
    exec(program.replace("500000", "20"), found)
    assert len(found["texts"]) == 2 == len(found["scores"].rate_bits)


def test_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """An evening's work: what it would run is looked at, not done."""
    line = next(x for x in commands("docs/figure3.md") if "sweep -config" in x)
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
    example, _ = blocks("docs/library.md", "python")
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["z"].shape == (1000, 8)
    assert names["output"].shape == (3, 500)
    assert names["decoded"].equal(names["points"])
    assert len(names["data"]) < 120  # type: ignore[arg-type]


def test_make_has_the_targets_that_are_named() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = {line.split()[1] for line in commands("README.md") if line.startswith("make ")}
    assert named == {"demo", "test"} <= targets
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(r"^make .*\btest\b", script, flags=re.M)


LINKING = ["README.md", "data/README.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("page", LINKING)
def test_every_file_that_a_page_links_to_exists(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(page)):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_name_of_the_package_that_a_page_has_exists(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    folders = r"(?<![\w/])(?:scripts|configs|tests|onmt_lattice)/[\w./]*\w"
    assert [name for name in re.findall(folders, content) if not (ROOT / name).exists()] == []
    for name in set(re.findall(r"\bonmt_lattice(?:\.\w+)+", content)):
        assert pydoc.locate(name) is not None, name


def test_the_readme_is_short() -> None:
    assert len(text("README.md").encode()) <= 9 * 1024
