"""requirements.lock: one exact version of everything, in setup.py's ranges, for any index."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import setuptools  # noqa: F401  brings distutils where Python no longer does
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
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
    for python in PYTHONS:
        planned = [Requirement(line) for line in lines]
        here = {r.name for r in planned if not r.marker or r.marker.evaluate(environment(python))}
        assert {"opennmt-py", "torch", "numba"} <= here
        assert ("pyonmttok" in here) == (Version(python) < Version("3.13"))
