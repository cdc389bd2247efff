"""Data preparation: from the archives of WMT16 to segmented text, a subword model, a vocabulary.

Nothing here imports OpenNMT-py; :mod:`onmt_lattice.cli.prepare` holds the commands.
"""
