"""The package as it is built, locked and installed, and what it runs on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest
import setuptools  # noqa: F401  brings distutils where Python no longer does
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from onmt_lattice.experiments.environment import cores, python

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


LINES = [
    line
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
PYTHONS = ("3.10.0", "3.11.9", "3.12.0", "3.13.0", "3.14.8")


def asked() -> list[Requirement]:
    """Return what setup.py asks for, to run and to be tested."""
    from distutils.core import run_setup

    setup = run_setup(str(ROOT / "setup.py"), stop_after="init")
    return [Requirement(line) for line in setup.install_requires + setup.extras_require["test"]]


def environment(python: str) -> dict[str, str]:
    return {
        **{"python_full_version": python, "python_version": ".".join(python.split(".")[:2])},
        **{"sys_platform": "linux", "platform_python_implementation": "CPython"},
        **{"platform_machine": "x86_64"},
    }


def test_a_line_is_one_version_without_label_hash_or_host() -> None:
    form = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; \(?[a-z_]+ [^@:/]+)?")
    assert [line for line in LINES if not form.fullmatch(line)] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_gets_one_version_that_setup_py_admits(python: str) -> None:
    locked = [Requirement(line) for line in LINES]
    here = [r for r in locked if r.marker is None or r.marker.evaluate(environment(python))]
    version = {r.name: next(iter(r.specifier)).version for r in here}
    assert len(version) == len(here)
    for requirement in asked():
        if requirement.marker and not requirement.marker.evaluate(environment(python)):
            continue
        chosen = version.get(canonicalize_name(requirement.name))
        assert chosen in requirement.specifier if chosen else False, f"{requirement}: make lock"


def test_of_what_gpus_need_it_has_triton_alone() -> None:
    """The build of torch that is installed says itself what it needs, and exactly.

    Triton's kernels are tested without a GPU, on Linux; its version is the one that torch asks for.
    """
    assert not [line for line in LINES if re.match("cuda|nvidia", line)]
    (triton,) = [Requirement(line) for line in LINES if line.startswith("triton==")]
    assert triton.marker is not None
    assert triton.marker.evaluate(environment("3.12.0"))
    assert not triton.marker.evaluate({**environment("3.12.0"), "sys_platform": "darwin"})


@pytest.mark.skipif(find_spec("uv") is None, reason="uv is not installed")
def test_uv_plans_the_package_and_opennmt_on_every_python(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-m", "uv", "export", "--quiet", "--no-hashes", "--no-header"]
    run = subprocess.run(
        [*command, "--no-annotate"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    if "Failed to fetch" in run.stderr:
        pytest.skip("uv does not reach a package index")
    assert run.returncode == 0, run.stderr
    package, *lines = run.stdout.splitlines()
    assert package == "-e ."
    for number in PYTHONS:
        planned = [Requirement(line) for line in lines]
        here = {r.name for r in planned if not r.marker or r.marker.evaluate(environment(number))}
        assert {"opennmt-py", "torch", "numba"} <= here
        assert ("pyonmttok" in here) == (Version(number) < Version("3.13"))


def test_a_process_bound_to_one_core_has_one() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processes are not bound to cores here")
    code = (
        "import os; from onmt_lattice.experiments.environment import cores; "
        "os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]); print(cores())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"


def test_a_module_that_is_run_imports_what_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of modules of the same names, in which commands are typed, is looked into last."""
    here, path = tmp_path / "here", tmp_path / "path"
    for folder in (here, path):
        folder.mkdir()
        for name in ("onmt", "random", "runpy", "module"):
            (folder / f"{name}.py").write_text("raise ImportError(__file__)")
    (path / "random.py").unlink()
    (path / "onmt.py").write_text("")
    (path / "runpy.py").unlink()
    show = "import onmt, random, sys; print(onmt.__file__, __name__, *sys.argv)"
    (path / "module.py").write_text(show)
    monkeypatch.syspath_prepend(path)
    words = [*python(), "-m", "module", "-m", "two words"]
    shown = subprocess.check_output(words, cwd=here, text=True)
    assert shown.split() == [
        *(f"{path}/onmt.py", "__main__", f"{path}/module.py", "-m", "two", "words")
    ]
