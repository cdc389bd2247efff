"""The paper's theory as experiments: each a table, and where it helps a figure."""

from onmt_lattice.experiments.tables import Table
from onmt_lattice.experiments.theory.catalogue import EXPERIMENTS, PAPER_LATTICES
from onmt_lattice.experiments.theory.estimates import Estimate, estimate
from onmt_lattice.experiments.theory.experiments import Experiment, Outcome, Settings

__all__ = [
    "EXPERIMENTS",
    "PAPER_LATTICES",
    "Estimate",
    "Experiment",
    "Outcome",
    "Settings",
    "Table",
    "estimate",
]
