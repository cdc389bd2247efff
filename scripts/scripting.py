"""The parser of a script, and its table on the terminal and in a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from onmt_lattice.experiments.tables import Table
from onmt_lattice.files import write_text


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser whose help shows ``description`` line by line."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=formatter)


def publish(table: Table, path: Path) -> None:
    """Print a table and write it to ``path``."""
    write_text(path, table.text() + "\n")
    print(table.text())
