"""Results of sweeps that never ran: of points that are given, or with all that results may hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from onmt_lattice.evaluation.codebook import Codebooks, Coded
from onmt_lattice.evaluation.result import Bits, Evaluation, Mean, Reconstruction
from onmt_lattice.experiments.report.results import (
    ANNEALED,
    FAILED,
    FINISHED,
    FIXED,
    WAITING,
    Point,
    Record,
    Results,
    RunResult,
)

SENTENCES, WORDS, DIM = 100, 1000, 24
CURVES: dict[str, dict[str, Any]] = {
    "gaussian": {"bottleneck": "gaussian"},
    "Z": {"bottleneck": "lattice", "lattice": "Z"},
    "E8": {"bottleneck": "lattice", "lattice": "E8"},
    "ste_scalar M=2": {"bottleneck": "ste_scalar", "levels": 2},
}
EXCESS = {"gaussian": 0.0, "Z": 0.5, "E8": 0.3, "ste_scalar M=2": 4.0}  # bits per word
WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.4)
INPUTS = [
    "the gardener wore a green coat in the old garden .",
    'the sign says <b>fish & "chips"</b> only',
    "",
]


def made_up_evaluation(label: str, step: int, nll: float, rate: float, **others: Any) -> Evaluation:
    """Return an evaluation of ``nll`` and ``rate``, in bits per word, and ``others``."""

    def bits(word: float) -> Bits:
        return Bits(word * WORDS / (WORDS + SENTENCES), word, word * WORDS / SENTENCES)

    values: dict[str, Any] = {
        **{"model": f"model_step_{step}.safetensors", "run": "model", "step": step},
        **{"bottleneck": label.split()[0], "settings": {}, "label": label, "dim": DIM},
        **{"is_code": label != "none", "rate_weight": 0.5, "text": "text/test.en", "seed": 0},
        **{"sentences": SENTENCES, "words": WORDS, "tokens": WORDS + SENTENCES},
        **{"empty_lines": 0, "unknown_tokens": 0, "perplexity": 4.0, "token_accuracy": 0.5},
        **{"nll": bits(nll), "rate": bits(rate), "total": bits(nll + rate)},
        "relaxed_rate": bits(rate),
        "rate_difference_bits_sentence": Mean(0.0, 0.1),
    }
    return Evaluation(**{**values, **others})


def point(curve: str, step: int, nll: float, rate: float, weight: float, **others: Any) -> Point:
    """Return a point of a run of ``curve``."""
    settings = CURVES[curve]
    found = {"bottleneck": settings["bottleneck"], "settings": settings, "rate_weight": weight}
    return Point(step, made_up_evaluation(curve, step, nll, rate, **found, **others))


def run(curve: str, points: Sequence[Point], seed: int, weight: float | None) -> RunResult:
    """Return a finished run at fixed λ, or annealed where there is no ``weight``."""
    name = f"{curve}_{weight or ANNEALED}_seed{seed}".replace(" ", "_")
    values = {} if weight is None else {"rate_weight": weight}
    command = f"onmt_lattice train -config runs/{name}/config.yaml"
    record, schedule = Record(FINISHED, attempts=1, seconds=90.0), FIXED if weight else ANNEALED
    return RunResult(name, curve, schedule, values, seed, command, record, [*points], [])


def fixed(curve: str, seed: int, points: Iterable[tuple[float, float]]) -> list[RunResult]:
    """Return a run at another λ for each (NLL, rate); the n-th at n tenths."""
    weights = [(n / 10, *bits) for n, bits in enumerate(points, start=1)]
    return [run(curve, [point(curve, 400, nll, r, w)], seed, w) for w, nll, r in weights]


def annealed(curve: str, seed: int, points: Iterable[tuple[float, float]]) -> RunResult:
    """Return the run that was at each (NLL, rate) after another 100 steps."""
    steps = [(100 * n, *bits) for n, bits in enumerate(points, start=1)]
    return run(curve, [point(curve, s, nll, r, s / 1000) for s, nll, r in steps], seed, None)


def unfinished(curve: str, name: str, status: str) -> RunResult:
    """Return a run without points."""
    record = Record(status, attempts=1, error="status 1")
    return replace(run(curve, [], 1, 0.9), name=name, record=record)


def sweep(runs: Iterable[RunResult]) -> Results:
    """Return the results of ``runs``."""
    versions = {"onmt_lattice": "0.1.0", "torch": "2.6"}
    return Results(
        *("configs/made_up/sweep.yaml", "text/test.en", "gaussian"),
        *(CURVES, versions, INPUTS, [*runs]),
    )


def whole_run(curve: str, seed: int, weight: float | None = None) -> RunResult:
    """Return a run at fixed λ, or of four points up to 0.4, with its history.

    Rate falls and NLL grows with λ, the excess over the Gaussian; both come nearer to their ends
    with training steps, and differ a little by seed. The last two points have decoded the text:
    with growing λ fewer words are right.
    """
    points = []
    for step, at in [(400, weight)] if weight else [(s, s / 1000) for s in (100, 200, 300, 400)]:
        nll = 1.5 + 4 * at + 200 / step + 0.05 * seed
        rate = 0.4 / (at + 0.02) + EXCESS[curve] - 0.04 * seed
        books = Codebooks(2, 1.9 - at, 1.2, 0.05) if "levels" in CURVES[curve] else None
        found = point(curve, step, nll, rate, at, codebooks=books)
        points.append(decoded(found) if step > 200 else found)
    last = points[-1].evaluation
    history = [
        [10.0 * i, at * i / 40, last.nll.token + 60 / i, last.rate.token * (1 + 2 / i)]
        for i in range(1, 41)
    ]
    return replace(run(curve, points, seed, weight), history=history)


def decoded(point: Point) -> Point:
    """Return ``point`` with the inputs as decoded."""
    weight = point.evaluation.rate_weight
    keep = round(8 * (1 - 2 * weight))
    lines = [" ".join([*line.split()[:keep], "dog <i>"]) for line in INPUTS]
    scores = Reconstruction(1, bleu=50 - 100 * weight, chrf=50.0, exact=0.1, signature="made up")
    return replace(
        point, evaluation=replace(point.evaluation, reconstruction=scores), decoded=lines
    )


def coded(point: Point, bits: int) -> Point:
    """Return ``point`` with the text in a file of so many bits."""
    file = Coded(bits, {"points": bits}, bits - 200.0)
    return replace(point, evaluation=replace(point.evaluation, coded=file))


def whole_sweep() -> Results:
    """Return two seeds of every fixed curve and of an annealed one, a failed run, one waiting."""
    runs = [whole_run(name, seed, w) for seed in (1, 2) for name in CURVES for w in WEIGHTS]
    runs += [whole_run("gaussian", seed) for seed in (1, 2)]
    error = "status 1; the end of its log:\nValueError: <loss> & gradient are nan"
    record = Record(FAILED, attempts=2, seconds=31.0, error=error)
    failed = replace(unfinished("Z", "Z_0.8_seed1", FAILED), record=record)
    return sweep([*runs, failed, unfinished("Z", "Z_0.9_seed1", WAITING)])
