"""Search for convolutional codes whose lattices have a small G, and measure those built in."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from onmt_lattice.experiments.theory.estimates import Estimate
from onmt_lattice.lattices.convolutional_code import Encoder
from onmt_lattice.lattices.generators import GENERATORS
from onmt_lattice.lattices.kernels import trellis as kernels

DESCRIPTION = """\
search: draw pairs of taps (or go through all, if there are fewer), measure G at n = 200 on the same
random points for all, and go on with the best quarter on four times as many, until one is left. Its
G is then measured on fresh points: that of the winner's own sample is too good.

table: measure G of those built in at several n, fit G = middle + edges/n, and list those of small n
that are more than 0.3 % off: the numbers of onmt_lattice/lattices/generators.py.

ends: compare ends of a block: begun in state 0 and free at the end; begun and ended in state 0;
free at both ends; half free, as built in; and tail-biting, which takes a pass for each state.
"""

Taps = tuple[str, str]
DIM = 200
FIRST_POINTS = 24  # on which all candidates are measured
SHORT, APART = 48, 0.003  # the n below which G is compared with the fit, and how near it has to be
KEPT = 4  # one of so many goes on, with so many times the points


class Block(NamedTuple):
    """A code on a block, as kernels take it: where paths may begin and end, and log_q |C|."""

    q: int
    labels: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    dim: float


def half_free(q: int, taps: Taps, n: int) -> Block:
    """Return the block that is built in."""
    code = Encoder(q, taps, n // 2)
    starts, ends = (mask.to(torch.uint8).numpy() for mask in (code.starts, code.ends))
    return Block(q, code.labels.numpy(), starts, ends, n / 2)


def decode(block: Block, x: np.ndarray) -> np.ndarray:
    """Return the nearest points of ``x`` ``(N, n)``."""
    points = np.empty_like(x)
    ways = tuple(range(block.q))
    kernels.nearest_points(x, block.labels, block.starts, block.ends, ways, points)
    return points


def moments(block: Block, x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return ``(N,)`` squared errors a dimension, in units of V^(2/n): their mean is G."""
    n = x.shape[1]
    return np.square(x - points).mean(1) * block.q ** (-2 * (n - block.dim) / n)


def measured(block: Block, n: int, points: int, seed: int) -> Estimate:
    """Return G of ``block`` from ``points`` points, drawn from ``seed``."""
    x = block.q * np.random.default_rng([seed, n]).random((points, n))
    values = moments(block, x, decode(block, x))
    return Estimate(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(points))


# ---- search -----------------------------------------------------------------


def coprime(q: int, taps: Taps) -> bool:
    """Return whether the two polynomials have no common factor: else messages share words."""
    a, b = (np.trim_zeros([int(digit) for digit in word], "f") for word in taps)
    while len(b):
        inverse = pow(int(b[0]), -1, q)
        while len(a) >= len(b):
            a = list(a)
            factor = a[0] * inverse % q
            a[: len(b)] = [(u - factor * v) % q for u, v in zip(a, b, strict=False)]
            a = list(np.trim_zeros(a, "f"))
        a, b = b, a
    return len(a) == 1


def candidates(q: int, memory: int, count: int, seed: int) -> Iterator[Taps]:
    """Yield pairs of taps, up to their order and signs: all, or ``count`` drawn from ``seed``."""
    words = [np.base_repr(word, q).zfill(memory + 1) for word in range(1, q ** (memory + 1))]
    words = [word for word in words if int(word.lstrip("0")[0]) <= max(1, q // 2)]
    if len(words) ** 2 <= 2 * count:
        pairs: Iterator[tuple[int, int]] = iter(np.argwhere(np.tri(len(words), k=-1) > 0))
    else:
        pairs = iter(np.random.default_rng(seed).integers(len(words), size=(count, 2)))
    for i, j in pairs:
        first, second = words[i], words[j]
        both_ends = (first[0] + second[0] != "00") and (first[-1] + second[-1] != "00")
        if both_ends and i != j:
            yield first, second


def search(q: int, memory: int, count: int, seed: int) -> tuple[Taps, Estimate]:
    """Return the best pair of taps found, and its G at n = 200 on fresh points."""
    found = list(candidates(q, memory, count, seed))
    points, tried = FIRST_POINTS, len(found)
    while len(found) > 1:
        x = q * np.random.default_rng([seed, points]).random((points, DIM))
        scores = {}
        for taps in found:
            block = half_free(q, taps, DIM)
            scores[taps] = moments(block, x, decode(block, x)).mean()
        kept = sorted(found, key=scores.__getitem__)[: max(1, len(found) // KEPT)]
        found = [taps for taps in kept if coprime(q, taps)] or kept[:1]
        points *= KEPT
    best = measured(half_free(q, found[0], DIM), DIM, 4 * points, seed + 1)
    print(f"q {q} memory {memory}: {tried} candidates, {found[0]}, G({DIM}) {best.text('')}")
    return found[0], best


# ---- those built in ---------------------------------------------------------


def fit(q: int, taps: Taps, coordinates: int, seed: int) -> tuple[Estimate, Estimate, float]:
    """Fit G = middle + edges/n; return both, and the largest relative deviation."""
    memory = len(taps[0]) - 1
    dims = [max(32, 4 * memory), 48, 96, 200, 400]
    found = [measured(half_free(q, taps, n), n, coordinates // n, seed) for n in dims]
    weights = np.array([1 / g.standard_error for g in found])
    design = np.array([[1, 1 / n] for n in dims])
    covariance = np.linalg.inv((design * weights[:, None] ** 2).T @ design)
    means = np.array([g.mean for g in found])
    middle, edges = covariance @ (design.T @ (weights**2 * means))
    errors = np.sqrt(np.diag(covariance))
    apart = float(np.abs((middle + edges / np.array(dims)) / means - 1).max())
    return (
        Estimate(float(middle), float(errors[0])),
        Estimate(float(edges), float(errors[1])),
        apart,
    )


def short(states: int, coordinates: int, seed: int) -> dict[int, float]:
    """Return G by n where the built-in fit is too far from it."""
    code = GENERATORS[states]
    found = {}
    for n in range(4 * (len(code.taps[0]) - 1), SHORT, 2):
        nsm = measured(half_free(code.q, code.taps, n), n, 4 * coordinates // n, seed).mean
        if abs(nsm / (code.middle + code.edges / n) - 1) > APART:
            found[n] = round(nsm, 5)
    return found


def table(only: list[int], coordinates: int, seed: int) -> None:
    """Print middle and edges of those built in."""
    for states, code in GENERATORS.items():
        if only and states not in only:
            continue
        middle, edges, apart = fit(code.q, code.taps, coordinates, seed)
        print(
            f"{states:5} {code.q} {code.taps} middle {middle.text('')} edges {edges.text('')} "
            f"off by at most {apart:.2%}; built in {code.middle} {code.edges}; "
            f"not so {short(states, coordinates, seed)}, built in {code.short}",
            flush=True,
        )


def tail_biting(q: int, taps: Taps, x: np.ndarray) -> np.ndarray:
    """Return the nearest points by paths that end in the state in which they began."""
    block = half_free(q, taps, x.shape[1])
    points, best = np.zeros_like(x), np.full(len(x), np.inf)
    for state in range(len(block.labels)):
        only = (np.arange(len(block.labels)) == state).astype(np.uint8)
        found = decode(block._replace(starts=only, ends=only), x)
        costs = np.square(x - found).sum(1)
        points[costs < best] = found[costs < best]
        best = np.minimum(best, costs)
    return points


def compare_ends(states: int, coordinates: int, seed: int) -> None:
    """Print G by kind of ends and n, on the same random points for all."""
    code = GENERATORS[states]
    q, memory = code.q, len(code.taps[0]) - 1
    every = np.ones(states, np.uint8)
    zero = (np.arange(states) == 0).astype(np.uint8)
    for n in (96, 250, 500):
        block = half_free(q, code.taps, n)
        kinds = {
            "zero, free": block._replace(starts=zero, ends=every),
            "zero, zero": block._replace(starts=zero, ends=zero, dim=n / 2 - memory),
            "free, free": block._replace(starts=every, ends=every, dim=n / 2 + memory),
            "half free": block,
        }
        count = coordinates // n
        x = q * np.random.default_rng([seed, n]).random((count, n))
        values = {kind: moments(b, x, decode(b, x)) for kind, b in kinds.items()}
        few = x[: max(50, count // states)]
        values["tail-biting"] = moments(block, few, tail_biting(q, code.taps, few))
        for kind, v in values.items():
            g = Estimate(float(v.mean()), float(v.std(ddof=1)) / math.sqrt(len(v)))
            print(f"{states:5} n {n:4}  {kind:12} G {g.text('')}", flush=True)


def parse_args() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=["search", "table", "ends"])
    parser.add_argument("-q", type=int, default=2, choices=[2, 3, 5])
    parser.add_argument("-memory", type=int, default=4, help="ν, of q^ν states")
    parser.add_argument("-candidates", type=int, default=2_000)
    parser.add_argument("-states", type=int, nargs="+", default=[], help="of table, ends")
    parser.add_argument(
        "-coordinates", type=int, default=1_000_000, help="a measurement's, at each n"
    )
    parser.add_argument("-seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Do what the command line says."""
    args = parse_args()
    if args.task == "search":
        search(args.q, args.memory, args.candidates, args.seed)
    elif args.task == "table":
        table(args.states, args.coordinates, args.seed)
    else:
        for states in args.states or [16, 64]:
            compare_ends(states, args.coordinates, args.seed)


if __name__ == "__main__":
    main()
