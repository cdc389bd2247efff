"""``onmt_lattice pack``."""

from __future__ import annotations

import os
import sys

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output, output_stream
from onmt_lattice.ranges import SEED, Range, check_ranges

POSITIVE = Range(0, above=True)


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice pack",
        description="Compress vectors of any origin, the rows of an array, by a dithered lattice: "
        "at a mean number of bits, a mean squared error, or with the noise that their user "
        "tolerates. The file holds all that unpack needs, unless -codec names a codec.",
        epilog="example: onmt_lattice pack -input x.npy -bits 128 -output x.olz",
    )
    p.option("input", required=True, metavar="FILE", help="array (N, d) of floats, .npy")
    p.option("output", required=True, metavar="FILE", help="file to write; - is standard output")
    asked = p.add_mutually_exclusive_group()
    for name, help in (
        ("bits", "bits per vector, in the mean"),
        ("mse", "mean squared error per number"),
        ("noise", "standard deviation of the error that is added to each number"),
    ):
        asked.add_argument(f"-{name}", f"--{name}", type=float, metavar="NUMBER", help=help)
    p.option(
        "codec",
        metavar="FILE",
        help="codec to use, and to leave out of the file; if there is no such file, the one fitted "
        "here is written to it",
    )
    p.option(
        "lattice",
        default="conv64",
        metavar="NAME",
        help="one of 'onmt_lattice lattices' (default: conv64)",
    )
    p.option(
        "no_decorrelation",
        action="store_true",
        help="code each number by itself; else an orthogonal transform takes the vectors to "
        "directions without correlation",
    )
    p.option("seed", type=int, default=0, help="seed of the dither (default: 0)")
    return p


def run(argv: list[str]) -> None:
    """Pack with the options in ``argv``; say on standard error what it costs."""
    args = parser().parse_args(argv)
    check_ranges(vars(args), {"seed": SEED, **dict.fromkeys(("bits", "mse", "noise"), POSITIVE)})
    asked = {name: getattr(args, name) for name in ("bits", "mse", "noise")}
    asked = {name: value for name, value in asked.items() if value is not None}
    known = args.codec is not None and os.path.exists(args.codec)
    if known and asked:
        raise UserError(
            f"-{next(iter(asked))}: the codec {args.codec} was fitted before; leave it out"
        )
    if not known and not asked:
        raise UserError(
            "expected one of -bits, -mse and -noise, or a -codec that was fitted before"
        )
    check_output(args.output, "-output")
    if args.codec is not None and not known:
        check_output(args.codec, "-codec")

    from onmt_lattice.bitstream.vector_codec import VectorCodec
    from onmt_lattice.opennmt.inference.arrays import open_rows

    rows = open_rows(args.input)
    if known:
        codec = VectorCodec.load(args.codec)
    else:
        codec = VectorCodec.fit(
            rows, args.lattice, **asked, decorrelate=not args.no_decorrelation, seed=args.seed
        )
    data = codec.compress(rows, args.seed, embed=args.codec is None, progress=True)
    if args.codec is not None and not known:
        codec.save(args.codec)
    with output_stream(args.output) as stream:
        stream.write(data)
    costs = codec.costs(rows, args.seed, data)
    print(f"{costs.describe()}\n{len(data)} bytes, to {args.output}", file=sys.stderr)
