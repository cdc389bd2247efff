"""Sweeps whose curves are given point by point, in bits per word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from made_up_results import made_up_evaluation

from onmt_lattice.experiments.report.results import (
    ANNEALED,
    FINISHED,
    FIXED,
    Point,
    Record,
    Results,
    RunResult,
)

SENTENCES, WORDS, DIM = 100, 1300, 24
CURVES: dict[str, dict[str, Any]] = {
    "gaussian": {"bottleneck": "gaussian"},
    "Z": {"bottleneck": "lattice", "lattice": "Z"},
    "E8": {"bottleneck": "lattice", "lattice": "E8"},
    "ste_scalar M=2": {"bottleneck": "ste_scalar", "levels": 2},
    "none": {"bottleneck": "none"},
}


def sweep(runs: Iterable[RunResult], reference: str = "gaussian") -> Results:
    """Return the results of ``runs``."""
    return Results("sweep.yaml", "text/test.en", reference, CURVES, {}, [], list(runs))


def fixed(curve: str, seed: int, points: Sequence[tuple[float, float]]) -> list[RunResult]:
    """Return a run at another λ for each (NLL, rate); the n-th at n tenths."""
    return [
        run(curve, FIXED, f"{curve}_{n}_seed{seed}", seed, [(400, *point)], {"rate_weight": n / 10})
        for n, point in enumerate(points, start=1)
    ]


def annealed(curve: str, seed: int, points: Sequence[tuple[float, float]]) -> RunResult:
    """Return the run that was at each (NLL, rate) after another 100 steps."""
    steps = [(100 * n, *point) for n, point in enumerate(points, start=1)]
    return run(curve, ANNEALED, f"{curve}_annealed_seed{seed}", seed, steps, {})


def unfinished(curve: str, name: str, status: str) -> RunResult:
    """Return a run without points."""
    record = Record(status, attempts=1, error="status 1")
    return RunResult(name, curve, FIXED, {"rate_weight": 0.9}, 1, "train", record, [], [])


def run(
    curve: str,
    schedule: str,
    name: str,
    seed: int,
    points: Iterable[tuple[int, float, float]],
    values: dict[str, Any],
) -> RunResult:
    """Return a finished run that was at (NLL, rate) after each number of steps."""
    settings = CURVES[curve]
    made = [
        Point(
            step,
            made_up_evaluation(
                *(curve, step, nll, rate, SENTENCES, WORDS),
                rate_weight=step / 1000,
                bottleneck=settings["bottleneck"],
                settings=settings,
            ),
        )
        for step, nll, rate in points
    ]
    record = Record(FINISHED, attempts=1)
    name = name.replace(" ", "_")
    return RunResult(name, curve, schedule, values, seed, "train", record, made, [])
