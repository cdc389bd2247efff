#!/usr/bin/env python3
"""Compare quantizers with the rate-distortion function of independent Gaussian numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import scripting
import numpy as np

from onmt_lattice.bitstream import VectorCodec
from onmt_lattice.bitstream.categorical import CategoricalCodec
from onmt_lattice.experiments.tables import Column, Table, columns

DESCRIPTION = """\
Independent standard normal numbers at about 1, 2 and 4 bits each. All but the lattices and one row
of FSQ are of fixed rate, and what is learned is learned from other numbers than those measured.

Other libraries are no part of this package: pip install faiss-cpu vector-quantize-pytorch
"""
OTHERS = "faiss-cpu vector-quantize-pytorch"
NOTES = (
    "gap: bits per number less 1/2 log2(1/D), D the mean squared error; ± 95 % over the numbers,",
    "which leaves out what was learned from, random codebooks and the dither. Coded bits are all",
    "bytes of one stream; codebooks and the codec are not counted. encode, decode: nanoseconds of",
    "one core's processor time per number; of Lloyd-Max, Gaussian Quant and the trellis in numpy.",
    "FSQ: vector-quantize-pytorch's, symmetric, of the best gain; decoded as its cells' means.",
    "Gaussian Quant: the nearest of 2^16 random Gaussian vectors (arXiv 2512.06609).",
    "Random trellis: Viterbi over 4,096 states, Gaussian labels, as in QTIP (arXiv 2406.11235).",
)
TARGETS = (1, 2, 4)
WIDTH = 480  # numbers in a vector of VectorCodec's
LATTICES = ("Z", "E8", "Leech", "conv256", "z4conv1024")
STATES = 2**12
SPHERES = {1: (32, 6), 2: (32, 30), 4: (8, 120)}  # width and radius², the best of some tried


class Row(NamedTuple):
    """A quantizer at a rate; see the notes of the table."""

    method: Annotated[str, Column("quantizer")]
    rate: Annotated[str, Column("rate")]
    bits: Annotated[float, Column("bits", ".3f")]
    error: Annotated[float, Column("D", ".2e")]
    gap: Annotated[float, Column("gap", ".3f")]
    half: Annotated[float, Column("±", ".3f")]
    encode: Annotated[float, Column("encode", ".0f")]
    decode: Annotated[float, Column("decode", ".0f")]


Codes = Iterator[tuple[str, float, Any, float, float]]  # name, bits, numbers, seconds each way


def timed(function: Any, *arguments: Any) -> tuple[Any, float]:
    """Return the result of ``function``, and the processor's seconds for it."""
    begin = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - begin


def lloyd_max(train: Any, x: Any, bits: int) -> Codes:
    """Yield the best scalar quantizer of 2^bits levels, by Lloyd's algorithm on sorted numbers."""
    sums = np.concatenate([[0.0], np.cumsum(train := np.sort(train))])
    levels = np.quantile(train, (np.arange(2**bits) + 0.5) / 2**bits)
    for _ in range(3000):
        edges = np.searchsorted(train, (levels[1:] + levels[:-1]) / 2)
        ends = np.concatenate([[0], edges, [len(train)]])
        levels = np.diff(sums[ends]) / np.diff(ends)
    index, encode = timed(np.searchsorted, (levels[1:] + levels[:-1]) / 2, x)
    back, decode = timed(levels.__getitem__, index)
    yield "Lloyd-Max", bits, back, encode, decode


def fsq(train: Any, x: Any, bits: int) -> Codes:
    """Yield finite scalar quantization at a fixed rate, and its levels by an entropy coder."""
    from torch import from_numpy
    from vector_quantize_pytorch import FSQ

    levels = 2**bits
    quantizer = FSQ([levels], preserve_symmetry=True)

    def index_of(numbers: Any, gain: float) -> Any:
        return quantizer(from_numpy(gain * numbers).view(1, -1, 1))[1][0].numpy()

    fitted = []
    for gain in np.linspace(0.3, 1.5, 25):
        index = index_of(train, gain)
        counts = np.bincount(index, minlength=levels)
        means = np.bincount(index, train, levels) / np.maximum(counts, 1)
        fitted.append((np.square(train - means[index]).mean(), gain, means, counts))
    _, gain, means, counts = min(fitted, key=lambda each: each[0])
    index, encode = timed(index_of, x, gain)
    back, decode = timed(means.__getitem__, index)
    yield "FSQ", bits, back, encode, decode
    codec = CategoricalCodec(from_numpy(np.log(counts + 0.5)).view(1, -1))
    symbols = from_numpy(index.astype(np.int64)).view(-1, 1)
    codec.write(symbols[:2])  # so that kernels are compiled
    data, writing = timed(codec.write, symbols)
    _, reading = timed(codec.read, data, len(symbols))
    yield "FSQ coded", 8 * len(data) / x.size, back, encode + writing, decode + reading


def gaussian_quant(rng: np.random.Generator, x: Any, bits: int) -> Codes:
    """Yield the nearest of 2^16 random vectors, scaled as is best for ``x``."""
    group = 16 // bits
    rows = x[: len(x) // group * group].reshape(-1, group)[: 2**13]
    book = rng.standard_normal((2**16, group)) * math.sqrt(1 - 4.0**-bits)
    norms = np.square(book).sum(1) / 2

    def nearest() -> Any:
        parts = np.array_split(rows, 128)
        return np.concatenate([(part @ book.T - norms).argmax(1) for part in parts])

    index, encode = timed(nearest)
    back, decode = timed(book.__getitem__, index)
    yield "Gaussian Quant", bits, back.ravel(), encode, decode


def trellis(rng: np.random.Generator, x: Any, bits: int) -> Codes:
    """Yield the best path of a trellis whose states have random labels."""
    ways, steps = 2**bits, min(512, len(x) // 32)
    rows = x[: 32 * steps].reshape(32, steps)
    labels = rng.standard_normal(STATES) * math.sqrt(1 - 4.0**-bits)
    before = (np.arange(STATES) // ways)[:, None] + np.arange(ways) * (STATES // ways)

    def best() -> Any:
        chosen = np.empty((len(rows), steps), dtype=np.int64)
        for row, numbers in enumerate(rows):
            costs, trace = np.zeros(STATES), np.empty((steps, STATES), dtype=np.int16)
            for t, number in enumerate(numbers):
                known = costs[before]
                trace[t] = way = known.argmin(1)
                costs = known[np.arange(STATES), way] + np.square(number - labels)
            state = int(costs.argmin())
            for t in range(steps - 1, -1, -1):
                chosen[row, t] = state
                state = before[state, trace[t, state]]
        return chosen

    states, encode = timed(best)
    back, decode = timed(labels.__getitem__, states)
    first = (math.log2(STATES) - bits) / steps  # of the state that a path begins in
    yield "random trellis", bits + first, back.ravel(), encode, decode


def faiss_codes(train: Any, x: Any, bits: int, seed: int) -> Codes:
    """Yield FAISS's product, residual and lattice quantizers."""
    import faiss

    faiss.omp_set_num_threads(1)
    width = 64 // bits
    train, x = (v[: len(v) // 96 * 96].astype(np.float32) for v in (train, x))
    pq = faiss.ProductQuantizer(width, 8, 8)
    rq = faiss.ResidualQuantizer(16 // bits, 2, 8)
    pq.cp.seed = rq.cp.seed = seed
    for name, quantizer in (("FAISS PQ", pq), ("FAISS RQ", rq)):
        quantizer.train(train[: len(train) // quantizer.d * quantizer.d].reshape(-1, quantizer.d))
        rows = x[: len(x) // quantizer.d * quantizer.d].reshape(-1, quantizer.d)
        codes, encode = timed(quantizer.compute_codes, rows)
        back, decode = timed(quantizer.decode, codes)
        yield name, bits, back.ravel(), encode, decode
    width, radius = SPHERES[bits]
    lattice = faiss.IndexLattice(width, 1, 4, radius)
    lattice.train(train.reshape(-1, width))
    codes, encode = timed(lattice.sa_encode, x.reshape(-1, width))
    back, decode = timed(lattice.sa_decode, codes)
    yield "FAISS ZnLattice", 8 * lattice.sa_code_size() / width, back.ravel(), encode, decode


def our_codes(train: Any, x: Any, bits: int, seed: int) -> Codes:
    """Yield our codec, by the bytes of a file."""
    train, rows = train.reshape(-1, WIDTH), x.reshape(-1, WIDTH)
    for lattice in LATTICES:
        codec = VectorCodec.fit(train, lattice, mse=4.0**-bits, decorrelate=False, seed=seed)
        codec.compress(rows[:2], seed)  # so that kernels are compiled
        data, encode = timed(codec.compress, rows, seed)
        back, decode = timed(codec.decompress, data)
        yield f"VectorCodec {lattice}", 8 * len(data) / x.size, back.ravel(), encode, decode


def rows_of(bits: int, numbers: int, seed: int) -> Iterator[Row]:
    """Yield a row for each quantizer."""
    rng = np.random.default_rng(seed)
    train, x = rng.standard_normal((2, numbers))
    rivals = (
        lloyd_max(train, x, bits),
        fsq(train, x, bits),
        gaussian_quant(rng, x, bits),
        trellis(rng, x, bits),
        faiss_codes(train, x, bits, seed),
    )
    for codes in (*rivals, our_codes(train, x, bits, seed)):
        for name, rate, back, encode, decode in codes:
            errors = np.square(back - x[: back.size])
            error, half = errors.mean(), 1.96 * errors.std() / math.sqrt(errors.size)
            yield Row(
                name,
                "coded" if name.startswith("V") or name == "FSQ coded" else "fixed",
                rate,
                error,
                rate + 0.5 * math.log2(error),
                half / error / math.log(4),
                1e9 * encode / back.size,
                1e9 * decode / back.size,
            )


def main() -> None:
    """Measure, print the table and write it."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-numbers", type=int, default=480_000, help="learned from, and measured")
    parser.add_argument("-seed", type=int, default=0)
    parser.add_argument("-output", type=Path, default=Path("runs/rate_distortion.txt"))
    args = parser.parse_args()
    rows = []
    for bits in TARGETS:
        for row in rows_of(bits, args.numbers, args.seed):
            print(f"{row.method:<24}{row.bits:7.3f}{row.gap:8.3f} ± {row.half:.3f}", flush=True)
            rows.append(row)
    notes = (*NOTES, f"{args.numbers:,} numbers, fewer of the random codebooks; seed {args.seed}.")
    table = Table("Rate and distortion of Gaussian numbers", columns(Row), rows, notes)
    print()
    scripting.publish(table, args.output)


if __name__ == "__main__":
    scripting.run(main, OTHERS)
