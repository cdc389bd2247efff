"""What ``python -m build`` makes, installed where nothing of the repository is at hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
NOT_SOURCE = (".*", "build", "runs", "*.egg-info", "__pycache__")


def done(*words: object, cwd: Path) -> str:
    """Return what a command says in ``cwd``, with nothing of this process's paths; it succeeds."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    run = subprocess.run(
        list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with sdist and wheel, the wheel built from the sdist."""
    place = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, place / "source", ignore=shutil.ignore_patterns(*NOT_SOURCE))
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place / "dist"]
    done(*build, place / "source", cwd=place)
    return place / "dist"


@pytest.fixture(scope="module")
def scripts(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where Python is in an environment of the wheel, and of what it depends on."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place)
    paths = sysconfig.get_paths(vars={"base": str(place), "platbase": str(place)})
    (wheel,) = built.glob("*.whl")
    python = Path(paths["scripts"]) / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    done(*pip, "--no-index", wheel, cwd=place)
    # Behind the wheel's own folder, and without the .pth files that an editable install leaves.
    packages = sysconfig.get_paths()["purelib"]
    (Path(paths["purelib"]) / "dependencies.pth").write_text(f"{packages}\n", encoding="utf-8")
    assert str(place) in done(
        python, "-c", "import onmt_lattice as o; print(o.__file__)", cwd=place
    )
    return python.parent


def test_the_source_distribution_holds_what_its_tests_need(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("onmt_lattice", "tests", "configs", "docs", "scripts"):
        sources = [
            p for p in (ROOT / needed).rglob("*") if p.is_file() and "__pycache__" not in p.parts
        ]
        assert {str(p.relative_to(ROOT)) for p in sources} <= held
    assert {"README.md", "LICENSE", "Makefile", "requirements.lock", "pyproject.toml"} <= held


def test_help_and_version(scripts: Path, tmp_path: Path) -> None:
    assert "onmt_lattice COMMAND" in done(scripts / "onmt_lattice", "--help", cwd=tmp_path)
    assert "onmt_lattice demo" in done(scripts / "onmt_lattice", "demo", "--help", cwd=tmp_path)


def test_the_library_example(scripts: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/library.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S)
    (example,) = [text for text in examples if "make_lattice" in text]
    done(scripts / "python", "-c", example, cwd=tmp_path)


def test_the_demo_in_an_empty_folder(scripts: Path, tmp_path: Path) -> None:
    """Two steps of one model, in the demo's own configuration as it was installed."""
    where = "from onmt_lattice.experiments.demo.demo import CONFIG; print(CONFIG)"
    config = Path(done(scripts / "python", "-c", where, cwd=tmp_path).strip())
    sweep = yaml.safe_load(config.read_text(encoding="utf-8"))
    sweep["config"] = str(config.with_name(sweep["config"]))
    sweep["fixed"] |= {"rate_weight": [0.5], "train_steps": 2, "valid_steps": 2}
    sweep["curves"] = {name: sweep["curves"][name] for name in ("gaussian",)}
    short = tmp_path.parent / "short.yaml"
    short.write_text(yaml.safe_dump(sweep), encoding="utf-8")
    shown = done(scripts / "onmt_lattice", "demo", "-config", short, cwd=tmp_path)
    assert "H = 4.543 bits per word" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert (tmp_path / "runs/demo/figure3.png").is_file()
