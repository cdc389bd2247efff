"""Compiling kernels with numba, which keeps the arithmetic as it is written."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache

from onmt_lattice.errors import UserError

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}

_warned = False


class OptionalCache(FunctionCache):
    """numba's cache of compiled kernels, made optional.

    Damaged entries, after a power failure for instance, are replaced. Where nothing can be written
    (a full disk) kernels are compiled every time, with one warning per process.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return a kernel from the cache, or None if none can be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # unpickling or LLVM fails in any way on damaged bytes
            _warn(f"is damaged ({type(error).__name__}); kernels are compiled again")
            with suppress(OSError):  # then the kernel is compiled every time
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a kernel to the cache if the disk has room for it."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn(f"cannot be written ({error.strerror}); kernels are compiled at every start")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` at its first call; keep the result on disk where that is possible.

    The interpreter's lock is released. Floating-point operations are neither reordered nor fused.
    The cache is beside the source, in numba's folder for this user, or in a temporary folder of
    this user; ``NUMBA_CACHE_DIR`` names another.
    """
    return _cached(njit(**OPTIONS)(function))


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` for kernels alone: Python cannot call it.

    Its wrapper for Python would take as long to compile as a short kernel.
    """
    return _cached(njit(**{**OPTIONS, "no_cpython_wrapper": True})(function))


def _cached(kernel: Any) -> Any:
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise UserError("NUMBA_DISABLE_JIT is set: kernels have to be compiled; unset it")
    try:
        kernel._cache = OptionalCache(kernel.py_func)
    except RuntimeError:  # numba found no folder that it can write to
        if (folder := _temporary_folder()) is not None:
            config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
            kernel._cache = OptionalCache(kernel.py_func)
    return kernel


def _temporary_folder() -> Path | None:
    """Return a temporary folder that no other user can write to, or None."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir(), f"onmt_lattice-{user}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        _warn(f"has no folder ({error.strerror}); kernels are compiled at every start")
        return None
    if hasattr(os, "getuid") and (status.st_uid != user or status.st_mode & 0o077):
        _warn(f"has no folder ({folder} is open to others); kernels are compiled at every start")
        return None
    return folder


def _warn(problem: str) -> None:
    global _warned
    if not _warned:
        print(f"warning: the cache of compiled kernels {problem}", file=sys.stderr)
    _warned = True


@helper
def unsigned(index: Any) -> Any:
    """Return ``index`` as an unsigned integer, which saves a check for negative indices."""
    return np.uint64(index)
