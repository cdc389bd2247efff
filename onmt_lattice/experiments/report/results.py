"""The results of a sweep: every point of every curve, with the run it is of, as one JSON file.

Figure, table and page are drawn from this alone.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.evaluation.result import NO_LATTICE, TOKEN, WORD, Evaluation, revive
from onmt_lattice.files import read_json, write_text

FORMAT = 2
DIGITS = 8  # of a number that is written: with fewer, costs that are interpolated would change

FIXED, ANNEALED = "fixed", "annealed"
SCHEDULES = (FIXED, ANNEALED)
QUANTIZED, TUNED, SCRATCH = "quantized", "tuned", "from scratch"  # kinds of lattice curve
KINDS = (QUANTIZED, TUNED, SCRATCH)
WAITING, RUNNING, FINISHED, FAILED = "waiting", "running", "finished", "failed"


@dataclass(frozen=True)
class Record:
    """How far one run is."""

    status: str = WAITING
    attempts: int = 0
    seconds: float = 0.0  # of all attempts
    error: str | None = None  # why it failed, with the end of its log
    job: str | None = None  # its number on a cluster
    since: float | None = None  # when it was started (seconds since 1970), while it runs


@dataclass(frozen=True)
class Quantizing:
    """The source of a run that quantizes another one's checkpoints."""

    source: str  # name of that run
    lattice: str  # its name, or ``none`` where only the Gaussian's prior was refitted
    more_steps: int  # of training after that


@dataclass(frozen=True)
class Difference:
    """What a checkpoint costs over the refitted Gaussian on the same sentences, bits per sentence.

    Means over sentences, and the variances and the covariance of these means.
    """

    rate: float
    nll: float
    rate_variance: float
    nll_variance: float
    covariance: float


@dataclass(frozen=True)
class Point:
    """One evaluated checkpoint."""

    step: int
    evaluation: Evaluation  # on the sweep's test text
    decoded: list[str] | None = None  # the first sentences of the text, if they were decoded
    over: Difference | None = None  # of a quantized checkpoint alone


@dataclass(frozen=True)
class RunResult:
    """One run and its results."""

    name: str
    curve: str
    schedule: str
    values: dict[str, Any]  # the options in which it differs from other runs of its curve
    seed: int
    command: str  # that trains it
    record: Record
    points: list[Point]  # by step
    history: list[list[float]]  # step, λ, NLL and rate (bits per token) as training reported them
    quantizing: Quantizing | None = None  # None where it was trained from scratch

    @property
    def varied(self) -> str:
        """What its ``values`` are, in words."""
        return ", ".join(f"{option} {value}" for option, value in self.values.items())

    @property
    def dim(self) -> int | None:
        """D of its bottleneck, None before an evaluation."""
        return next((p.evaluation.dim for p in self.points if p.evaluation.dim), None)


@dataclass(frozen=True)
class Results:
    """All runs of a sweep, failed and unfinished ones too."""

    config: str  # the YAML file of the sweep
    text: str  # that the points were evaluated on
    reference: str  # the curve that others are compared with
    curves: dict[str, dict[str, Any]]  # their options, in the order of the file
    versions: dict[str, str]  # of everything that bears on the numbers
    inputs: list[str]  # the first sentences of the text
    runs: list[RunResult]
    per: str = WORD  # what costs are drawn per, or TOKEN; of results on disk always WORD

    def per_token(self) -> Results:
        """Return these results with each token as a word, to draw costs per token."""

        def points(run: RunResult) -> list[Point]:
            return [replace(p, evaluation=p.evaluation.per_token()) for p in run.points]

        runs = [replace(run, points=points(run)) for run in self.runs]
        return replace(self, runs=runs, per=TOKEN)

    def bottlenecks(self) -> dict[str, str]:
        """Return the name of each curve's bottleneck; empty if unknown."""
        evaluated = {run.curve: p.evaluation.bottleneck for run in self.runs for p in run.points}
        return {
            name: str(options.get("bottleneck", evaluated.get(name, _quantized(options))))
            for name, options in self.curves.items()
        }

    def kind(self, curve: str) -> str | None:
        """Return which kind of lattice curve it is, one of ``KINDS``; None of any other curve."""
        options = self.curves[curve]
        if self.bottlenecks()[curve] != "lattice":
            return None
        if "quantize" not in options:
            return SCRATCH
        return TUNED if options.get("more_steps") else QUANTIZED

    def lattice(self, curve: str) -> str | None:
        """Return the name of the lattice of a curve, None without one, or if unknown."""
        points = (point for run in self.runs if run.curve == curve for point in run.points)
        evaluated = (point.evaluation.settings.get("lattice") for point in points)
        name = self.curves[curve].get("lattice", next(evaluated, None))
        return None if self.bottlenecks()[curve] != "lattice" or name is None else str(name)

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all: one line per run, numbers of ``DIGITS`` digits."""
        values = _rounded(dataclasses.asdict(self, dict_factory=_not_none))
        del values["per"]
        runs = ",\n".join(map(_line, values.pop("runs")))
        head = _line({"format": FORMAT, **values}).removesuffix("}")
        write_text(path, f'{head},"runs":[\n{runs}\n]}}\n')

    @classmethod
    def read(cls, path: Path) -> Results:
        """Return the results written at ``path``."""
        values = read_json(path, "the results of a sweep")
        number = values.pop("format", None) if isinstance(values, dict) else None
        if number != FORMAT:
            raise UserError(
                f"{path}: format {number!r}: expected the results.json of a sweep, format "
                f"{FORMAT}; run the sweep again"
            )
        with error_prefix(f"{path}: damaged results of a sweep", TypeError):
            return cast(Results, revive(cls, values))


def _quantized(options: dict[str, Any]) -> str:
    """Return the bottleneck of a curve that quantizes another; empty where ``options`` do not."""
    if "quantize" not in options:
        return ""
    return "gaussian" if options["lattice"] == NO_LATTICE else "lattice"


def _not_none(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if value is not None}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
