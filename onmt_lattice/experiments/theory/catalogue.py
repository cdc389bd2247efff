"""All experiments, and the lattices they are made on.

Declared here and measured elsewhere, so that their list needs no torch.
"""

from __future__ import annotations

from onmt_lattice.experiments.theory.experiments import Experiment

PAPER_LATTICES = ("Z", "A2", "D4", "E8", "BW16", "Leech")
"""The six lattices of the tables, by dimension."""

STATES = (4, 8, 16, 32, 64, 256, 9, 81, 243, 2187, 25, 125, 625)
Z4_STATES = (64, 256, 1024, 4096, 16384)
LONGEST = (
    *(f"conv{states}-480" for states in STATES),
    *(f"z4conv{states}-480" for states in Z4_STATES),
)
"""Convolutional lattices of every number of states that there is a generator for."""

SHORT_AND_LONG = (
    "conv4-48 conv4-96 conv4-480 conv16-48 conv16-96 conv16-480 conv64-48 conv64-96 conv64-480 "
    "conv256-96 conv256-480 conv9-480 conv81-480 conv243-480 conv2187-480 "
    "conv25-480 conv625-480 z4conv64-480 z4conv256-480 z4conv1024-480"
).split()

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("figure1", "cubic and hexagonal lattice: cells and covering", 0, "", "cells"),
        Experiment(
            "figure2",
            "the two systems: inference and training",
            20_000,
            "points a system",
            "systems",
        ),
        Experiment(
            "crypto",
            "the Crypto-Lemma: Z − U against X − U given X",
            20_000,
            "points a lattice and X",
            "crypto_lemma",
        ),
        Experiment(
            "theorem1",
            "Theorem 1: the codeword's length and the training rate",
            2_000,
            "blocks of 48 coordinates a lattice and code",
            "rate_identity",
        ),
        Experiment(
            "lemma2",
            "Lemma 2: the curvature that dither pays for",
            50_000,
            "points a lattice",
            "curvature",
        ),
        Experiment(
            "moments",
            "G(Λ), and the share of the way from Z to the limit",
            1_000_000,
            "points a lattice",
            "second_moments",
            (*PAPER_LATTICES, *LONGEST),
        ),
        Experiment(
            "ratedistortion",
            "rate against distortion on a Gaussian source",
            4_000,
            "blocks of 48 coordinates a lattice and SNR",
            "rate_distortion",
        ),
        Experiment(
            "gaussianlimit",
            "how fast lattices approach the Gaussian channel",
            4_000,
            "blocks of 48 coordinates a lattice and SNR",
            "gaussian_limit",
            (*PAPER_LATTICES, *SHORT_AND_LONG),
        ),
        Experiment(
            "unevenblocks",
            "the price of blocks that mix strong and weak coordinates",
            2_000,
            "sources of 96 coordinates a lattice and order",
            "uneven_blocks",
            (*PAPER_LATTICES, "conv16-96", "conv64-96", "conv256-96"),
        ),
    )
}
