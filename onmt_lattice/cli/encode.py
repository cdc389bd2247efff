"""``onmt_lattice encode``."""

from __future__ import annotations

import sys

from onmt_lattice.config import parse
from onmt_lattice.files import check_output
from onmt_lattice.opennmt.options.commands import EncodeOptions


def run(argv: list[str]) -> None:
    """Encode with the options in ``argv``; report what was written on standard error."""
    options = parse("encode", EncodeOptions, argv)
    check_output(options.output, "-output")

    from onmt_lattice.opennmt.commands.vector_files import encode_file

    print(f"{encode_file(options)}, to {options.output}", file=sys.stderr)
