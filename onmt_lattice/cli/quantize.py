"""``onmt_lattice quantize``."""

from __future__ import annotations

import sys

from onmt_lattice.config import parse
from onmt_lattice.files import STANDARD, check_output
from onmt_lattice.opennmt.options.commands import QuantizeOptions


def run(argv: list[str]) -> None:
    """Quantize with the options in ``argv``; print the costs."""
    options = parse("quantize", QuantizeOptions, argv)
    check_output(options.output, "-output")

    from onmt_lattice.opennmt.commands.quantize import quantize

    result = quantize(options)
    print(
        f"{options.lattice} in {options.model}, fitted to {result.sentences} sentences of "
        f"{options.src} (seed {options.seed})\n\n{result.table()}\n\nwritten to {options.output}",
        file=sys.stderr if options.output == STANDARD else sys.stdout,
    )
