"""Search for convolutional codes whose lattices have a small G, and measure those built in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import scripting
import numpy as np
import torch

from onmt_lattice.experiments.theory.estimates import Estimate, estimate
from onmt_lattice.lattices.generators import GENERATORS, Generators
from onmt_lattice.lattices.kernels import trellis as kernels

DESCRIPTION = """\
search: draw pairs of taps (or go through all, if there are fewer), measure G at n = 200 on the same
random points for all, and repeat with the best quarter on four times as many until one is left. Its
G is then measured on fresh points: that of the winner's own sample is too good. With -scores FILE
measurements are saved there, and a search that was stopped resumes.

table: measure G of those built in at several n, fit G = middle + edges/n, and list those of small n
that are more than 0.3 % off: the numbers of onmt_lattice/lattices/generators.py.

ends: compare ends of a block: begun in state 0 and free at the end; begun and ended in state 0;
free at both ends; half free, as built in; and tail-biting, which takes a pass for each state.
"""

Taps = tuple[str, str]
DIM = 200
FIRST_POINTS = 24  # on which all candidates are measured
SHORT, APART = 48, 0.003  # the n below which G is compared with the fit, and how near it has to be
SHARE = 4  # one of so many continues, with so many times the points
FRESH = 4_000_000  # coordinates that the winner is measured on


class Block(NamedTuple):
    """A code on a block, as kernels take it: where paths may begin and end, and log_q |C|."""

    q: int
    labels: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    dim: float


def half_free(code: Generators, n: int) -> Block:
    """Return the block that is built in."""
    encoder = code.encoder(n // 2)
    starts, ends = (mask.to(torch.uint8).numpy() for mask in (encoder.starts, encoder.ends))
    return Block(code.q, encoder.labels.numpy(), starts, ends, n / 2)


def decode(block: Block, x: np.ndarray) -> np.ndarray:
    """Return the nearest points of ``x`` ``(N, n)``."""
    points = np.empty_like(x)
    ways = tuple(range(block.q))
    kernels.nearest_points(x, block.labels, block.starts, block.ends, ways, points)
    return points


def moments(block: Block, x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return ``(N,)`` squared errors per dimension, in units of V^(2/n): their mean is G."""
    n = x.shape[1]
    return np.square(x - points).mean(1) * block.q ** (-2 * (n - block.dim) / n)


def measured(code: Generators, n: int, points: int, seed: int) -> Estimate:
    """Return G of ``code`` in n dimensions from ``points`` points, drawn from ``seed``."""
    block = half_free(code, n)
    x = block.q * np.random.default_rng([seed, n]).random((points, n))
    return estimate(torch.from_numpy(moments(block, x, decode(block, x))))


# ---- search -----------------------------------------------------------------


def coprime(q: int, taps: Taps) -> bool:
    """Return whether the two polynomials have no common factor: else messages share words.

    Of ℤ4 it is those modulo 2 that count.
    """
    q = prime(q)
    a, b = (np.trim_zeros([int(digit) % q for digit in word], "f") for word in taps)
    while len(b):
        inverse = pow(int(b[0]), -1, q)
        while len(a) >= len(b):
            a = list(a)
            factor = a[0] * inverse % q
            a[: len(b)] = [(u - factor * v) % q for u, v in zip(a, b, strict=False)]
            a = list(np.trim_zeros(a, "f"))
        a, b = b, a
    return len(a) == 1


def prime(q: int) -> int:
    """Return the prime that divides ``q``."""
    return 2 if q == 4 else q


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
        both_ends = all(int(first[k]) % prime(q) or int(second[k]) % prime(q) for k in (0, -1))
        if both_ends and i != j:
            yield first, second


def search(q: int, memory: int, count: int, seed: int, file: Path | None) -> None:
    """Print the best pair of taps found, and its G at n = 200 on fresh points."""
    known = {}
    for line in file.read_text().splitlines() if file and file.exists() else []:
        *key, score = json.loads(line)
        known[tuple(key)] = score
    codes = [Generators(q, t, math.nan, math.nan) for t in candidates(q, memory, count, seed)]
    points, tried = FIRST_POINTS, len(codes)
    while len(codes) > 1:
        x = q * np.random.default_rng([seed, points]).random((points, DIM))
        scores = []
        for code in codes:
            key = (q, seed, points, *code.taps)
            if key not in known:
                block = half_free(code, DIM)
                known[key] = float(moments(block, x, decode(block, x)).mean())
                if file:
                    with file.open("a") as lines:
                        lines.write(json.dumps([*key, known[key]]) + "\n")
            scores.append(known[key])
        best = np.argsort(scores, kind="stable")[: max(1, len(codes) // SHARE)]
        codes = [codes[i] for i in best if coprime(q, codes[i].taps)] or [codes[best[0]]]
        points *= SHARE
    g, taps = measured(codes[0], DIM, FRESH // DIM, seed + 1), codes[0].taps
    print(f"q {q} memory {memory}: {tried} candidates, {taps}, G({DIM}) {g.text('')}")


# ---- those built in ---------------------------------------------------------


def fit(code: Generators, coordinates: int, seed: int) -> tuple[Estimate, Estimate, float]:
    """Fit G = middle + edges/n; return both, and the largest relative deviation."""
    dims = [max(32, code.min_dim), 48, 96, 200, 400]
    estimates = [measured(code, n, coordinates // n, seed) for n in dims]
    weights = np.array([1 / g.standard_error for g in estimates])
    design = np.array([[1, 1 / n] for n in dims])
    covariance = np.linalg.inv((design * weights[:, None] ** 2).T @ design)
    means = np.array([g.mean for g in estimates])
    middle, edges = covariance @ (design.T @ (weights**2 * means))
    errors = np.sqrt(np.diag(covariance))
    apart = float(np.abs((middle + edges / np.array(dims)) / means - 1).max())
    return (
        Estimate(float(middle), float(errors[0])),
        Estimate(float(edges), float(errors[1])),
        apart,
    )


def short(code: Generators, coordinates: int, seed: int) -> dict[int, float]:
    """Return G by n where the built-in fit is too far from it."""
    exceptions = {}
    for n in range(code.min_dim, SHORT, 2):
        nsm = measured(code, n, 4 * coordinates // n, seed).mean
        if abs(nsm / (code.middle + code.edges / n) - 1) > APART:
            exceptions[n] = round(nsm, 5)
    return exceptions


def table(only: list[str], coordinates: int, seed: int) -> None:
    """Print middle and edges of those built in."""
    for name in only or GENERATORS:
        code = GENERATORS[name]
        middle, edges, apart = fit(code, coordinates, seed)
        print(
            f"{name:9} {code.taps} middle {middle.text('')} edges {edges.text('')} "
            f"off by at most {apart:.2%}; built in {code.middle} {code.edges}; "
            f"not so {short(code, coordinates, seed)}, built in {code.short}",
            flush=True,
        )


def tail_biting(code: Generators, x: np.ndarray) -> np.ndarray:
    """Return the nearest points by paths that end in the state in which they began."""
    block = half_free(code, x.shape[1])
    points, best = np.zeros_like(x), np.full(len(x), np.inf)
    for state in range(len(block.labels)):
        only = (np.arange(len(block.labels)) == state).astype(np.uint8)
        nearest = decode(block._replace(starts=only, ends=only), x)
        costs = np.square(x - nearest).sum(1)
        points[costs < best] = nearest[costs < best]
        best = np.minimum(best, costs)
    return points


def compare_ends(name: str, coordinates: int, seed: int) -> None:
    """Print G by ends and n, on the same random points for all."""
    code = GENERATORS[name]
    for n in (96, 250, 500):
        block = half_free(code, n)
        states = len(block.labels)
        digits = math.log(states, code.q)
        every, zero = np.ones(states, np.uint8), (np.arange(states) == 0).astype(np.uint8)
        blocks = {
            "zero, free": block._replace(starts=zero, ends=every),
            "zero, zero": block._replace(starts=zero, ends=zero, dim=n / 2 - digits),
            "free, free": block._replace(starts=every, ends=every, dim=n / 2 + digits),
            "half free": block,
        }
        count = coordinates // n
        x = code.q * np.random.default_rng([seed, n]).random((count, n))
        values = {ends: moments(b, x, decode(b, x)) for ends, b in blocks.items()}
        few = x[: max(50, count // states)]
        values["tail-biting"] = moments(block, few, tail_biting(code, few))
        for ends, v in values.items():
            g = estimate(torch.from_numpy(v))
            print(f"{name:9} n {n:4}  {ends:12} G {g.text('')}", flush=True)


def main() -> None:
    """Run the task of the command line."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("task", choices=["search", "table", "ends"])
    parser.add_argument("-q", type=int, default=2, choices=[2, 3, 4, 5])
    parser.add_argument(
        "-memory", type=int, default=4, choices=range(2, 13), help="ν, of q^ν states"
    )
    parser.add_argument("-candidates", type=int, default=2_000)
    parser.add_argument("-scores", type=Path, help="file of a search's measurements, saved there")
    parser.add_argument(
        "-codes",
        nargs="+",
        default=[],
        choices=list(GENERATORS),
        metavar="NAME",
        help="of table, ends: such as conv64",
    )
    parser.add_argument(
        "-coordinates", type=int, default=1_000_000, help="a measurement's, at each n"
    )
    parser.add_argument("-seed", type=int, default=1)
    args = parser.parse_args()
    if args.task == "search":
        search(args.q, args.memory, args.candidates, args.seed, args.scores)
    elif args.task == "table":
        table(args.codes, args.coordinates, args.seed)
    else:
        for name in args.codes or ["conv16", "conv64"]:
            compare_ends(name, args.coordinates, args.seed)


if __name__ == "__main__":
    scripting.run(main)
