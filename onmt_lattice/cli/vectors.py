"""``onmt_lattice encode`` and ``onmt_lattice decode``."""

from __future__ import annotations

import sys

from onmt_lattice.config import parse
from onmt_lattice.files import check_output
from onmt_lattice.opennmt.options.commands import DecodeOptions, EncodeOptions


def encode(argv: list[str]) -> None:
    """Encode with the options in ``argv``; report what was written on standard error."""
    options = parse("encode", EncodeOptions, argv)
    check_output(options.output, "-output")

    from onmt_lattice.opennmt.commands.vector_files import encode_file

    print(f"{encode_file(options)}, to {options.output}", file=sys.stderr)


def decode(argv: list[str]) -> None:
    """Decode with the options in ``argv``; report what was written on standard error."""
    options = parse("decode", DecodeOptions, argv)
    check_output(options.output, "-output")

    from onmt_lattice.opennmt.commands.vector_files import decode_file

    print(f"{decode_file(options)}, to {options.output}", file=sys.stderr)
