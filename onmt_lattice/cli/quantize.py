"""``onmt_lattice quantize``."""

from __future__ import annotations

from onmt_lattice.cli.arguments import NUMBERS, Parser
from onmt_lattice.errors import unknown_name
from onmt_lattice.files import check_output
from onmt_lattice.ranges import Range, check_ranges


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice quantize",
        description="Put a lattice in place of the Gaussian noise of a trained model, without "
        "training: the noise becomes the lattice's dither, and its code is fitted to sentences of "
        "the training text. What it costs over the Gaussian is printed in bits per "
        "sentence, per word and per dimension.",
        epilog="example: onmt_lattice quantize -model runs/my/model_step_500000.safetensors "
        "-lattice Leech -src train.txt -output runs/my/leech_step_500000.safetensors",
    )
    p.option("model", required=True, metavar="FILE", help="trained with -bottleneck gaussian")
    p.option(
        "lattice",
        required=True,
        metavar="NAME",
        help="any name of -lattice of train; none fits the Gaussian's prior and nothing else",
    )
    p.option("src", required=True, metavar="FILE", help="the training text, as for train")
    p.option("output", required=True, metavar="FILE", help="the checkpoint to write")
    p.option(
        "lattice_code",
        default="auto",
        metavar="NAME",
        help="the code on its points, as for train: convolved_gaussian, discrete_gaussian or auto "
        "(default: auto)",
    )
    p.option(
        "fit_sentences",
        type=int,
        default=1500,
        help="how many sentences of the text to fit the code to (default: 1500)",
    )
    p.option("seed", type=int, default=0, help="of their choice and their dither (default: 0)")
    p.option("gpu", type=int, default=-1, help="CUDA device, or -1 for the CPU (default: -1)")
    return p


def run(argv: list[str]) -> None:
    """Quantize with the options in ``argv``; print what it costs."""
    args = parser().parse_args(argv)
    check_output(args.output, "-output")

    from onmt_lattice.bottlenecks.lattice import AUTO
    from onmt_lattice.codes import code_names
    from onmt_lattice.opennmt.commands.quantize import LEAST_SENTENCES, QuantizeOptions, quantize

    check_ranges(vars(args), {**NUMBERS, "fit_sentences": Range(LEAST_SENTENCES)})
    codes = [AUTO, *code_names()]
    if args.lattice_code not in codes:
        raise unknown_name("lattice code", args.lattice_code, codes)
    made = quantize(QuantizeOptions(**vars(args)))
    print(
        f"{args.lattice} in {args.model}, fitted to {made.sentences} sentences of {args.src} "
        f"(seed {args.seed})\n\n{made.table()}\n\nwritten to {args.output}"
    )
