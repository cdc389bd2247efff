"""``onmt_lattice export``."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from onmt_lattice.config import Config, option, parse
from onmt_lattice.files import check_folder


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Config):
    """Write a folder, to share a model.

    The folder has model.safetensors, the model without the state of its training; README.md, a
    model card; and config.json, the card's numbers. The option -model of every command takes the
    folder, or hf://user/name once it is on the Hugging Face hub.

    example: onmt_lattice export -model runs/quickstart/conv16.safetensors
    -evaluation runs/quickstart/conv16.json -output runs/quickstart/shared
    """

    model: str = option(..., "checkpoint of train or quantize", metavar="FILE")
    evaluation: str = option(
        ..., "file of evaluate -output, for the card's NLL and rate", metavar="FILE"
    )
    output: str = option(..., "the folder; its name is the model's", metavar="FOLDER")


def run(argv: list[str]) -> None:
    """Export with the options in ``argv``; report what was written on standard error."""
    options = parse("export", ExportOptions, argv)
    check_folder(options.output, "-output")

    from onmt_lattice.opennmt.commands.export import export

    size = export(options.model, options.evaluation, options.output)
    print(
        f"a model of {size / 1e6:.1f} MB, its card and config.json, to {options.output}",
        file=sys.stderr,
    )
