"""``onmt_lattice inspect``."""

from __future__ import annotations

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.errors import UserError
from onmt_lattice.files import read_bytes


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice inspect",
        description="Say what a file of compress holds, and where its bits go: in all, and for "
        "each word and character of the text that was compressed. No model is needed.",
        epilog="example: onmt_lattice inspect test.olz",
    )
    p.add_argument("file", metavar="FILE", help="file of compress; - is standard input")
    return p


def run(argv: list[str]) -> None:
    """Print what is in the file."""
    args = parser().parse_args(argv)
    data = read_bytes(args.file, "FILE")

    from onmt_lattice.bitstream import BitstreamError
    from onmt_lattice.bitstream.file import TextFile

    try:
        print(TextFile(data).table())
    except BitstreamError as error:
        raise UserError(f"{args.file}: {error}") from error
