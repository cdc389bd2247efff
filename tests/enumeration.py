"""Every point of a lattice in a ball, by Fincke and Pohst's search: the tests' own ground truth."""

from __future__ import annotations

import numpy as np


def points_within(
    basis: np.ndarray, centres: np.ndarray, radii: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Return all lattice points within ``radii`` of ``centres``.

    Breadth first: one coordinate of all the open branches at a time. No decoder takes part.

    Args:
        basis: ``(n, n)``, generators in rows.
        centres: ``(N, n)``.
        radii: ``(N,)`` or one for all.

    Returns:
        ``(M,)`` the centre each point belongs to, and ``(M, n)`` the points less that centre.
    """
    n = len(basis)
    upper_q, upper = np.linalg.qr(basis.T)  # basis = upper.T @ upper_q.T, upper.T lower triangular
    signs = np.sign(np.diag(upper))
    lower, frame = (upper * signs[:, None]).T, upper_q * signs
    owner = np.arange(len(centres))
    rest = centres @ frame  # what is still to be reached
    budget = np.broadcast_to(np.asarray(radii, dtype=float) ** 2, (len(centres),))
    for j in reversed(range(n)):
        reach = np.sqrt(budget)
        low = np.ceil((rest[:, j] - reach) / lower[j, j]).astype(int)
        high = np.floor((rest[:, j] + reach) / lower[j, j]).astype(int)
        counts = np.maximum(high - low + 1, 0)
        branch = np.repeat(np.arange(len(counts)), counts)
        step = np.arange(len(branch)) - np.repeat(np.cumsum(counts) - counts, counts)
        rest = rest[branch] - (low[branch] + step)[:, None] * lower[j]
        owner = owner[branch]
        budget = np.maximum(budget[branch] - rest[:, j] ** 2, 0)
    return owner, -rest @ frame.T
