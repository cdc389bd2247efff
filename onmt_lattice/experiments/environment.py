"""What a process runs on: its cores, and the versions of its software."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version

from onmt_lattice import __version__


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def python() -> list[str]:
    """Return the command of a Python with this one's import path; ``-m MODULE`` follows.

    By itself ``python -m`` looks into the working folder first, where a ``random.py`` may lie.
    """
    paths = [path or os.getcwd() for path in sys.path]
    code = (
        f"import sys; sys.path[:] = {paths!r}; del sys.argv[: sys.argv.index('-m') + 1]; "
        f"import runpy; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", code]


def versions(*packages: str) -> dict[str, str]:
    """Return the version of this package, of Python and of each of the installed ``packages``."""
    own = {"onmt_lattice": __version__, "python": platform.python_version()}
    return own | {package: version(package) for package in packages}
