"""The command line."""

from onmt_lattice.cli.main import main

__all__ = ["main"]
