"""What scripts share: how they begin and end, their parser, and their tables.

Imported before numpy, torch and OpenNMT-py, this lets them take one thread unless
``OMP_NUM_THREADS`` says otherwise, and hides the deprecation warnings of the last.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from onmt_lattice.cli.main import quiet_opennmt
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.tables import Table
from onmt_lattice.files import write_text

os.environ.setdefault("OMP_NUM_THREADS", "1")
quiet_opennmt()


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser whose help shows ``description`` line by line."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=formatter)


def run(main: Callable[[], None], others: str = "") -> None:
    """Run the ``main`` of a script; a user's mistake ends it with one line and status 1.

    ``others`` are the packages to install that the script needs besides this project's own.
    """
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error.filename}: no such file") from error
    except ImportError as error:
        if not others:
            raise
        raise SystemExit(f"{error.name} is missing: pip install {others}") from error


def publish(table: Table, path: Path) -> None:
    """Print a table and write it to ``path``."""
    write_text(path, table.text() + "\n")
    print(table.text())
