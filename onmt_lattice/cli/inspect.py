"""``onmt_lattice inspect``."""

from __future__ import annotations

from dataclasses import dataclass

from onmt_lattice.config import Config, option, parse
from onmt_lattice.errors import error_prefix
from onmt_lattice.files import read_bytes


@dataclass(frozen=True, kw_only=True)
class InspectOptions(Config):
    """Show the content of a file of compress or pack, and where its bits go.

    In all, per word and per character of the compressed text. No model is needed.

    example: onmt_lattice inspect test.olz
    """

    file: str = option(
        ..., "file of compress or pack; - is standard input", metavar="FILE", positional=True
    )


def run(argv: list[str]) -> None:
    """Print the table of a file."""
    options = parse("inspect", InspectOptions, argv)
    data = read_bytes(options.file, "FILE")

    from onmt_lattice.bitstream.file import FileReader

    with error_prefix(options.file):
        print(FileReader(data).table())
