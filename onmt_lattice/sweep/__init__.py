"""Grids of training runs: Figure 3 of the paper, with table and report."""
