#!/usr/bin/env python3
"""Compare bits and squared error of VectorCodec and of FAISS's quantizers, in one run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import scripting
import matplotlib.pyplot as plt
import numpy as np

from onmt_lattice.bitstream import VectorCodec
from onmt_lattice.bitstream.vector_fitting import rate_distortion_bits
from onmt_lattice.experiments.report.plotting import COLOURS, MARKERS
from onmt_lattice.experiments.tables import Column, Table, columns

DESCRIPTION = """\
Three sets of vectors, each split in two at random: quantizers and codecs are fitted to the first
part, and measured on the other.

  X         what the encoder of a trained model makes of sentences, -vectors: an array of
            'onmt_lattice encode -continuous'; left out if there is none
  digits    scikit-learn's pictures of 8 by 8 pixels
  Gaussian  64 numbers, neighbours correlated by 0.9

FAISS and scikit-learn are no part of this package: pip install faiss-cpu scikit-learn
"""
NOTES = (
    "bits: per vector. PQ, OPQ, RQ and SQ take as many for every vector; of VectorCodec it is the",
    "mean: all bytes of one file of the second part, over its vectors. FAISS's codebooks and the",
    "codec are not counted. error: mean squared error over the variance, of the second part;",
    "± 95 % over its vectors, which leaves out the split, the starts of k-means and the dither.",
    "conv256: bits that VectorCodec's conv256 takes for FAISS's error, between measured points.",
)
COVARIANCE = 0.9 ** np.abs(np.subtract.outer(range(64), range(64)))
OURS = ("Z", "E8", "conv256")
ERRORS = (0.5, 0.2, 0.06, 0.01, 1e-3, 1e-4)  # asked for, shares of the variance
SUBQUANTIZERS = (2, 8, 32)
STAGES = (1, 2, 4, 8)
LEAST = 39  # training vectors for each centroid that FAISS asks for
GAUSSIAN = "Gaussian"
REFERENCE = "VectorCodec conv256"


class Row(NamedTuple):
    """A quantizer on a set of vectors; see the notes of the table."""

    data: Annotated[str, Column("vectors")]
    method: Annotated[str, Column("quantizer")]
    bits: Annotated[float, Column("bits", ".1f")]
    error: Annotated[float, Column("error", ".2e")]
    half: Annotated[float, Column("±", ".0e")]
    reference: Annotated[float | None, Column("conv256", ".1f")] = None


def sets(args: argparse.Namespace, rng: np.random.Generator) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each set, and its two parts, float32."""
    from sklearn.datasets import load_digits

    root = np.linalg.cholesky(COVARIANCE)
    arrays = {"digits": load_digits().data}
    arrays[GAUSSIAN] = rng.standard_normal((args.rows, 64)) @ root.T
    if args.vectors:
        x = np.load(args.vectors)
        arrays = {"X": x[np.isfinite(x).all(1)], **arrays}
    for name, x in arrays.items():
        x = rng.permutation(x)[: args.rows].astype(np.float32)
        yield name, x[: len(x) // 2], x[len(x) // 2 :]


def faiss_codes(train: Any, test: Any, seed: int) -> Iterator[tuple[str, float, Any]]:
    """Yield name, bits per vector and the reconstruction of ``test`` of FAISS's quantizers."""
    import faiss

    faiss.omp_set_num_threads(1)
    d = train.shape[1]
    bits = min(8, int(math.log2(len(train) / LEAST)))
    for m in (m for m in SUBQUANTIZERS if d % m == 0):
        pq = faiss.ProductQuantizer(d, m, bits)
        pq.cp.seed = seed
        pq.train(train)
        yield "FAISS PQ", m * bits, pq.decode(pq.compute_codes(test))
        opq = faiss.OPQMatrix(d, m)
        opq.niter = 10
        opq.pq = pq = faiss.ProductQuantizer(d, m, bits)
        pq.cp.seed = seed
        opq.train(train)
        pq.train(opq.apply(train))
        decoded = pq.decode(pq.compute_codes(opq.apply(test)))
        yield "FAISS OPQ", m * bits, opq.reverse_transform(decoded)
    for stages in STAGES:
        rq = faiss.ResidualQuantizer(d, stages, bits)
        rq.cp.seed = seed
        rq.train(train)
        yield "FAISS RQ", stages * bits, rq.decode(rq.compute_codes(test))
    for size in (4, 6, 8):
        sq = faiss.ScalarQuantizer(d, getattr(faiss.ScalarQuantizer, f"QT_{size}bit"))
        sq.train(train)
        yield "FAISS SQ", d * size, sq.decode(sq.compute_codes(test))


def our_codes(train: Any, test: Any, seed: int) -> Iterator[tuple[str, float, Any]]:
    """Yield the same of our codec, by the bytes of a file."""
    for lattice in OURS:
        for share in ERRORS:
            codec = VectorCodec.fit(train, lattice, mse=share * train.var(0).mean(), seed=seed)
            data = codec.compress(test, seed)
            yield f"VectorCodec {lattice}", 8 * len(data) / len(test), codec.decompress(data)


def measured(name: str, train: Any, test: Any, seed: int) -> list[Row]:
    """Return a row for each quantizer on a set."""
    rows, variance = [], test.var(0).mean()
    for codes in (our_codes, faiss_codes):
        for method, bits, back in codes(train, test, seed):
            errors = np.square(back - test).mean(1) / variance
            print(f"{name:<10}{method:<22}{bits:8.1f}{errors.mean():11.2e}", flush=True)
            half = 1.96 * errors.std() / math.sqrt(len(errors))
            rows.append(Row(name, method, float(bits), float(errors.mean()), float(half)))
    curve = sorted((math.log(r.error), r.bits) for r in rows if r.method == REFERENCE)
    at, bits = zip(*curve, strict=True)
    return [
        row._replace(reference=float(np.interp(math.log(row.error), at, bits)))
        if at[0] <= math.log(row.error) <= at[-1] and "FAISS" in row.method
        else row
        for row in rows
    ]


def draw(rows: list[Row], path: Path) -> None:
    """Draw error against bits, a panel for each set."""
    names = list(dict.fromkeys(row.data for row in rows))
    methods = list(dict.fromkeys(row.method for row in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(4.4 * len(names), 4.2), squeeze=False)
    for name, axis in zip(names, axes[0], strict=True):
        for number, method in enumerate(methods):
            chosen = [r for r in rows if (r.data, r.method) == (name, method)]
            axis.errorbar(
                [r.bits for r in chosen],
                [r.error for r in chosen],
                [r.half for r in chosen],
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number],
                linestyle="-" if method.startswith("V") else "--",
                linewidth=1.2,
                markersize=4,
                label=method,
            )
        if name == GAUSSIAN:
            variances, shares = np.linalg.eigvalsh(COVARIANCE), np.geomspace(0.9, 1e-5)
            bound = [rate_distortion_bits(variances, share) for share in shares]
            axis.plot(bound, shares, "k:", linewidth=1, label="rate-distortion function")
            axis.legend(handles=axis.lines[-1:], fontsize=8)
        axis.set(title=name, xscale="log", yscale="log", xlabel="bits per vector")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("mean squared error / variance")
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print the table, and write it and the figure."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-vectors", metavar="FILE", help="array (N, m) of X")
    parser.add_argument("-rows", type=int, default=10000, help="vectors of a set, at most")
    parser.add_argument("-seed", type=int, default=0)
    parser.add_argument("-output", type=Path, default=Path("runs/vectors"), metavar="FOLDER")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    rows, sizes = [], []
    for name, train, test in sets(args, rng):
        rows += measured(name, train, test, args.seed)
        sizes.append(f"{name}: {len(train)} and {len(test)} of {train.shape[1]} numbers")
        print(sizes[-1], flush=True)
    notes = (*NOTES, "", f"Seed {args.seed}; vectors: {'; '.join(sizes)}.")
    table = Table("Bits and squared error of vectors", columns(Row), rows, notes)
    draw(rows, args.output / "vectors.png")
    print()
    scripting.publish(table, args.output / "vectors.txt")


if __name__ == "__main__":
    scripting.run(main, "faiss-cpu scikit-learn")
