"""``onmt_lattice pack``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from onmt_lattice.config import POSITIVE, SEED, Config, option, parse
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output, output_stream

LATTICE = "conv64"


@dataclass(frozen=True, kw_only=True)
class PackOptions(Config):
    """Compress vectors of any origin, the rows of an array, with a dithered lattice.

    Give the bits per vector, the mean squared error, or the noise that the application tolerates.
    The file has all that unpack needs, unless -codec names a codec.

    example: onmt_lattice pack -input x.npy -bits 128 -output x.olz
    """

    input: str = option(..., "array (N, d) of floats, .npy", metavar="FILE")
    output: str = option(..., "file to write; - is standard output", metavar="FILE")
    bits: float | None = option(
        None, "bits per vector, on average", range=POSITIVE, metavar="NUMBER", exclusive="target"
    )
    mse: float | None = option(
        None, "mean squared error per number", range=POSITIVE, metavar="NUMBER", exclusive="target"
    )
    noise: float | None = option(
        None,
        "standard deviation of the error of each number",
        range=POSITIVE,
        metavar="NUMBER",
        exclusive="target",
    )
    codec: str | None = option(
        None,
        "codec to use, which the output then lacks; if there is no such file, the codec fitted "
        "here is written to it",
        metavar="FILE",
    )
    lattice: str | None = option(
        None, f"one of 'onmt_lattice lattices' (default: {LATTICE})", metavar="NAME"
    )
    no_decorrelation: bool = option(
        False,
        "code each number by itself, without the orthogonal transform that removes correlation",
    )
    seed: int = option(0, "seed of the dither", range=SEED)


def run(argv: list[str]) -> None:
    """Pack with the options in ``argv``; report the costs on standard error."""
    options = parse("pack", PackOptions, argv)
    target = {name: getattr(options, name) for name in ("bits", "mse", "noise")}
    target = {name: value for name, value in target.items() if value is not None}
    fitted = os.path.exists(options.codec or "")
    for name in (*target, "lattice", "no_decorrelation"):
        if fitted and getattr(options, name):
            raise UserError(f"-{name}: the codec {options.codec} was fitted before; leave it out")
    if not fitted and not target:
        raise UserError(
            "expected one of -bits, -mse and -noise, or a -codec that was fitted before"
        )
    check_output(options.output, "-output")
    if options.codec is not None and not fitted:
        check_output(options.codec, "-codec")

    from onmt_lattice.bitstream.arrays import open_rows
    from onmt_lattice.bitstream.vector_codec import VectorCodec

    rows = open_rows(options.input)
    if options.codec is not None and fitted:
        codec = VectorCodec.load(options.codec)
    else:
        codec = VectorCodec.fit(
            rows,
            options.lattice or LATTICE,
            **target,
            decorrelate=not options.no_decorrelation,
            seed=options.seed,
            progress=True,
        )
    data = codec.compress(rows, options.seed, embed=options.codec is None, progress=True)
    if options.codec is not None and not fitted:
        codec.save(options.codec)
    with output_stream(options.output) as stream:
        stream.write(data)
    costs = codec.costs(rows, options.seed, data, progress=True)
    print(f"{costs.describe()}\n{len(data)} bytes, to {options.output}", file=sys.stderr)
