#!/usr/bin/env python3
"""Time the coding of lattice points, beside constriction's own quantized Gaussian in this run."""

from __future__ import annotations

import argparse
import math
import time
import timeit
from collections.abc import Callable
from typing import Any

import scripting
import constriction
import numpy as np
import torch

from onmt_lattice.bitstream import DitherKey, LatticeCodec
from onmt_lattice.codes import make_code
from onmt_lattice.lattices import Lattice, lattice_of_dim
from onmt_lattice.noise import StreamNoise

DESCRIPTION = """\
For each lattice, points of Gaussian numbers of the given scale, coded by discrete_gaussian (on Z by
convolved_gaussian too), to bytes and back:

  encode, decode  millions of coordinates a second of processor time, the dither's generation
                  included; best of three
  ideal           bits per coordinate under the code, of the points that were coded
  excess          of all bytes over the ideal, in per cent

An outlier costs less than the code says: where the scale is small, the excess may be negative.
"""
LATTICES = [
    *("Z", "A2", "A3", "A3*", "D4", "D4*", "E8", "BW16", "Leech"),
    *("conv4", "conv16", "conv64", "conv256", "conv9", "conv25", "z4conv256"),
]


def best_seconds(task: Callable[[], Any]) -> float:
    """Return the least processor time of three runs, after one that compiles."""
    task()
    return min(timeit.repeat(task, timer=time.process_time, repeat=3, number=1))


def line(name: str, count: int, encode: float, decode: float, ideal: float, size: int) -> str:
    """Return a line of the table."""
    rates = f"{count / encode / 1e6:8.2f} {count / decode / 1e6:8.2f}"
    return f"{name:31} {rates} {ideal / count:7.3f} {100 * (8 * size / ideal - 1):+8.3f} %"


def coded(lattice: Lattice, code: str, args: argparse.Namespace) -> str:
    """Return the line of one code."""
    lattice = lattice.with_second_moment(1.0)
    log_s = torch.full((args.dim // lattice.dim, lattice.dim), math.log(args.scale))
    codec = LatticeCodec(make_code(code, lattice), log_s)
    key = DitherKey(0, tuple(range(args.sentences)))
    u = codec.dither(key)
    x = args.scale * torch.randn(u.shape, generator=torch.Generator().manual_seed(0))
    points = lattice.nearest_point(x + u)
    data = codec.encode(points, key)
    if not torch.allclose(codec.decode(data, key), points, rtol=0, atol=1e-9):
        raise SystemExit(f"{lattice}: decoded to other points")
    ideal = -codec.code.log_prob(points - u, codec.log_s, StreamNoise()).sum().item() / math.log(2)
    encode = best_seconds(lambda: codec.encode(points, key))
    decode = best_seconds(lambda: codec.decode(data, key))
    return line(f"{lattice.name} {code}", points.numel(), encode, decode, ideal, len(data))


def quantized_gaussian(args: argparse.Namespace) -> str:
    """Return the line of constriction's own model, with a mean and a scale for each number."""
    rng = np.random.default_rng(0)
    count, means = args.sentences * args.dim, rng.random(args.sentences * args.dim)
    numbers = np.rint(means + args.scale * rng.standard_normal(count)).astype(np.int32)
    reach = math.ceil(8 * args.scale) + 8
    family = constriction.stream.model.QuantizedGaussian(-reach, reach)
    scales = np.full(count, args.scale)

    def encode() -> Any:
        encoder = constriction.stream.queue.RangeEncoder()
        encoder.encode(numbers, family, means, scales)
        return encoder.get_compressed()

    words = encode()
    y = torch.from_numpy(numbers - means)[:, None, None]
    law = make_code("convolved_gaussian", lattice_of_dim("Z", 1))
    log_s = torch.full((1, 1), math.log(args.scale))
    ideal = -law.log_prob(y, log_s, StreamNoise()).sum().item() / math.log(2)
    decode = best_seconds(
        lambda: constriction.stream.queue.RangeDecoder(words).decode(family, means, scales)
    )
    name = "constriction QuantizedGaussian"
    return line(name, count, best_seconds(encode), decode, ideal, 4 * len(words))


def main() -> None:
    """Print the table."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-lattices", nargs="+", default=LATTICES)
    parser.add_argument("-sentences", type=int, default=200)
    parser.add_argument("-dim", type=int, default=480, help="numbers a sentence")
    parser.add_argument("-scale", type=float, default=2.0, help="of the prior")
    args = parser.parse_args()
    print(f"{'':31} {'encode':>8} {'decode':>8} {'ideal':>7} {'excess':>10}")
    for name in args.lattices:
        lattice = lattice_of_dim(name, args.dim)
        for code in ("discrete_gaussian", "convolved_gaussian")[: 1 + (name == "Z")]:
            lattice = lattice_of_dim("Z", 1) if name == "Z" else lattice
            print(coded(lattice, code, args), flush=True)
    print(quantized_gaussian(args))


if __name__ == "__main__":
    scripting.run(main)
