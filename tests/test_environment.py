"""Cores that a process may use, versions that it runs on."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from onmt_lattice import __version__
from onmt_lattice.environment import cores, versions


def test_a_process_bound_to_one_core_has_one() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processes are not bound to cores here")
    code = (
        "import os; from onmt_lattice.environment import cores; "
        "os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]); print(cores())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"


def test_versions_are_those_that_are_at_work() -> None:
    found = versions("torch")
    python = ".".join(map(str, sys.version_info[:3]))
    assert found["onmt_lattice"] == __version__ and found["python"] == python
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    with pytest.raises(PackageNotFoundError):
        versions("no such package")
