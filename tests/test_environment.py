"""Cores that a process may use, versions that it runs on."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from onmt_lattice import __version__
from onmt_lattice.experiments.environment import cores, python, versions


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


def test_versions_are_those_that_are_at_work() -> None:
    found = versions("torch")
    python = ".".join(map(str, sys.version_info[:3]))
    assert found["onmt_lattice"] == __version__ and found["python"] == python
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    with pytest.raises(PackageNotFoundError):
        versions("no such package")
