"""How kernels are compiled: by numba, with the arithmetic that is written and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` at its first call; keep the result on disk where that is possible.

    The interpreter's lock is released. Floating-point operations are neither reordered nor fused.
    """
    try:
        kernel: Callable[..., Any] = njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # numba found no folder that it may write to
        kernel = njit(nogil=True, error_model="numpy")(function)
    return kernel


@compiled
def place(index: Any) -> Any:
    """Return ``index`` as unsigned, so that no negative one is looked for: that takes time."""
    return np.uint64(index)
