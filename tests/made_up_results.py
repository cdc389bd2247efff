"""Results of a sweep that never ran: curves by formula, with everything that results may hold."""

from __future__ import annotations

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


def made_up_evaluation(
    label: str, step: int, nll: float, rate: float, sentences: int, words: int, **others: Any
) -> Evaluation:
    """Return an evaluation of ``nll`` and ``rate``; ``others`` go before what is said here."""

    def bits(word: float) -> Bits:
        return Bits(word * words / (words + sentences), word, word * words / sentences)

    values: dict[str, Any] = {
        "model": f"model_step_{step}.safetensors",
        "run": "model",
        "step": step,
        "rate_weight": 0.5,
        "bottleneck": label.split()[0],
        "settings": {},
        "label": label,
        "is_code": label != "none",
        "dim": 24,
        "text": "text/test.en",
        "sentences": sentences,
        "empty_lines": 0,
        "words": words,
        "tokens": words + sentences,
        "unknown_tokens": 0,
        "seed": 0,
        "nll": bits(nll),
        "rate": bits(rate),
        "total": bits(nll + rate),
        "relaxed_rate": bits(rate),
        "rate_difference_bits_sentence": Mean(0.0, 0.1),
        "perplexity": 4.0,
        "token_accuracy": 0.5,
    }
    return Evaluation(**{**values, **others})


INPUTS = [
    "the gardener wore a green coat in the old garden .",
    'the sign says <b>fish & "chips"</b> only',
    "",
]
# Bits per word above the Gaussian, by curve.
CURVES: dict[str, tuple[float, dict[str, Any]]] = {
    "gaussian": (0.0, {"bottleneck": "gaussian"}),
    "Z": (0.5, {"bottleneck": "lattice", "lattice": "Z"}),
    "E8": (0.3, {"bottleneck": "lattice", "lattice": "E8"}),
    "ste_scalar M=2": (4.0, {"bottleneck": "ste_scalar", "levels": 2}),
}
LEVELS = "levels"


def sweep() -> Results:
    """Return two seeds of every curve at fixed λ, an annealed Gaussian, a failed run, one waiting.

    Every fixed run decoded the text, the annealed one at its last two points.
    """
    runs = [
        fixed(name, weight, seed)
        for seed in (1, 2)
        for name in CURVES
        for weight in (0.05, 0.1, 0.2, 0.3, 0.4)
    ]
    runs += [annealed("gaussian", seed) for seed in (1, 2)]
    broken = replace(fixed("Z", 0.8, 1), points=[], history=[])
    error = "status 1; the end of its log:\nValueError: <loss> & gradient are nan"
    failed = replace(broken, record=Record(FAILED, attempts=2, seconds=31.0, error=error))
    later = replace(broken, name="Z_0.9_seed1", values={"rate_weight": 0.9}, record=Record(WAITING))
    return Results(
        config="configs/made_up/sweep.yaml",
        text="text/test.en",
        reference="gaussian",
        curves={name: options for name, (_, options) in CURVES.items()},
        versions={"onmt_lattice": "0.1.0", "torch": "2.6"},
        inputs=INPUTS,
        runs=[*runs, failed, later],
    )


def fixed(curve: str, weight: float, seed: int, steps: int = 400) -> RunResult:
    """Return a finished run at fixed λ, which decoded the text."""
    name = f"{curve.replace(' ', '_')}_{weight}_seed{seed}"
    point = decoded(Point(steps, evaluation(curve, steps, weight, seed)), weight)
    return finished(name, curve, FIXED, {"rate_weight": weight}, seed, [point])


def annealed(curve: str, seed: int) -> RunResult:
    """Return a finished run whose λ grows to 0.4 in four checkpoints; two decoded the text."""
    name = f"{curve.replace(' ', '_')}_annealed_seed{seed}"
    points = [Point(s, evaluation(curve, s, s / 1000, seed)) for s in (100, 200, 300, 400)]
    points = [*points[:2], *(decoded(point, 0.4) for point in points[2:])]
    return finished(name, curve, ANNEALED, {}, seed, points)


def finished(
    name: str, curve: str, schedule: str, values: dict[str, Any], seed: int, points: list[Point]
) -> RunResult:
    """Return a run with a history of forty reports."""
    last = points[-1]
    weight, bits = last.evaluation.rate_weight, last.evaluation
    history = [
        [10.0 * i, weight * i / 40, bits.nll.token + 60 / i, bits.rate.token * (1 + 2 / i)]
        for i in range(1, 41)
    ]
    command = f"onmt_lattice train -config runs/{name}/config.yaml"
    record = Record(FINISHED, attempts=1, seconds=90.0)
    return RunResult(name, curve, schedule, values, seed, command, record, points, history)


def decoded(point: Point, weight: float) -> Point:
    """Return ``point`` with the inputs as decoded: fewer words right with growing λ."""
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


def evaluation(curve: str, step: int, weight: float, seed: int) -> Evaluation:
    """Return a point of the curve: rate falls and NLL grows with λ, the excess over the Gaussian.

    Both come nearer to their ends with training steps, and differ a little by seed.
    """
    excess, settings = CURVES[curve]
    nll = 1.5 + 4 * weight + 200 / step + 0.05 * seed
    rate = 0.4 / (weight + 0.02) + excess - 0.04 * seed
    codebooks = Codebooks(2, 1.9 - weight, 1.2, 0.05) if LEVELS in settings else None
    return made_up_evaluation(
        curve,
        step,
        nll,
        rate,
        sentences=100,
        words=1100,
        rate_weight=weight,
        bottleneck=settings["bottleneck"],
        settings=settings,
        unknown_tokens=3,
        codebooks=codebooks,
    )
