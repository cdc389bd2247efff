"""``onmt_lattice translate``."""

from __future__ import annotations


def run(argv: list[str]) -> None:
    """Translate with the options in ``argv``."""
    from onmt_lattice.opennmt.inference.search import translate

    translate(argv)
