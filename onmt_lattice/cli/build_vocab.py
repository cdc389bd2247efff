"""``onmt_lattice build_vocab``."""

from __future__ import annotations


def run(argv: list[str]) -> None:
    """Build a vocabulary with the options in ``argv``."""
    from onmt_lattice.opennmt.commands.vocabulary import build_vocab

    build_vocab(argv)
