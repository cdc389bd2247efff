"""``onmt_lattice export``."""

from __future__ import annotations

import sys

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.files import check_folder


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice export",
        description="Write a folder to share a model with: model.safetensors, which has all that "
        "using the model needs and nothing that only resuming its training does; README.md, a "
        "model card; and config.json, the card's numbers. -model of every command takes the "
        "folder, and hf://user/name once it is on the Hugging Face hub.",
        epilog="example: onmt_lattice export -model runs/quickstart/conv16.safetensors "
        "-evaluation runs/quickstart/conv16.json -output runs/quickstart/shared",
    )
    p.option("model", required=True, metavar="FILE", help="checkpoint of train or quantize")
    p.option(
        "evaluation",
        required=True,
        metavar="FILE",
        help="what evaluate -output wrote of it: the card's NLL and rate",
    )
    p.option("output", required=True, metavar="FOLDER", help="the folder; its name is the model's")
    return p


def run(argv: list[str]) -> None:
    """Export with the options in ``argv``; say on standard error what was written."""
    args = parser().parse_args(argv)
    check_folder(args.output, "-output")

    from onmt_lattice.opennmt.commands.export import export

    size = export(args.model, args.evaluation, args.output)
    print(
        f"a model of {size / 1e6:.1f} MB, its card and config.json, to {args.output}",
        file=sys.stderr,
    )
