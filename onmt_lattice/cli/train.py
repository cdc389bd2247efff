"""``onmt_lattice train``."""

from __future__ import annotations


def run(argv: list[str]) -> None:
    """Train with the options in ``argv``."""
    from onmt_lattice.opennmt.training.launch import train

    train(argv)
