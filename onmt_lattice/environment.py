"""What a process runs on: its cores, and the versions of its software."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from onmt_lattice import __version__


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions(*packages: str) -> dict[str, str]:
    """Return the version of this package, of Python and of each of the installed ``packages``."""
    own = {"onmt_lattice": __version__, "python": platform.python_version()}
    return own | {package: version(package) for package in packages}
