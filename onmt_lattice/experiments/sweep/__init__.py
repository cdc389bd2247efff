"""Grids of training runs, from a YAML file to their results."""
