"""A curve that quantizes another one's checkpoints, as the YAML file of a sweep has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onmt_lattice.bottlenecks.lattice import ANY_DIM, AUTO, lattice_for
from onmt_lattice.codes import code_names
from onmt_lattice.config import COUNT_OR_ZERO, Config, declared, from_mapping, option
from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.evaluation.result import NO_LATTICE
from onmt_lattice.experiments.report.results import ANNEALED, FIXED, SCHEDULES
from onmt_lattice.experiments.sweep.quantized_run import QuantizedRun
from onmt_lattice.experiments.sweep.run import Run

QUANTIZE = "quantize"
GAUSSIAN = "gaussian"


@dataclass(frozen=True)
class QuantizedCurve:
    """A curve of lattices in the checkpoints of another curve.

    Attributes:
        name: of the curve; ``source``: the curve that it quantizes.
        lattice: its name, or ``none`` where only the Gaussian's prior is fitted.
        code: name of the code on its points, None for the lattice's own.
        more_steps: how many more steps are trained with the lattice's noise.
        schedules: those of the source that it follows.
    """

    name: str
    source: str
    lattice: str
    code: str | None = None
    more_steps: int = 0
    schedules: tuple[str, ...] = SCHEDULES

    def options(self) -> dict[str, Any]:
        """Return what the file says of it, for the results."""
        given = {"lattice_code": self.code, "more_steps": self.more_steps}
        held = {key: value for key, value in given.items() if value}
        return {QUANTIZE: self.source, "lattice": self.lattice, **held}

    def refitted(self) -> QuantizedCurve:
        """Return the curve that it is fairly held against: the Gaussian, its prior refitted."""
        more = f", {self.more_steps} more steps" if self.more_steps else ""
        name = f"{self.source}, refitted{more}"
        schedules = (FIXED,) if self.more_steps else SCHEDULES
        return QuantizedCurve(name, self.source, NO_LATTICE, None, self.more_steps, schedules)

    def run(self, source: Run, folder: Path) -> QuantizedRun:
        """Return its run for a run of the source."""
        return QuantizedRun(
            curve=self.name,
            schedule=source.schedule,
            point=source.point,
            seed=source.seed,
            folder=folder,
            options={**source.options, "train_steps": source.steps + self.more_steps},
            test=source.test,
            test_source=source.test_source,
            evaluate_every=source.evaluate_every,
            reconstruct=source.reconstruct,
            source=source,
            lattice=self.lattice,
            code=self.code,
            more_steps=self.more_steps,
        )


def quantized_curves(
    path: Path, given: Mapping[str, Mapping[str, Any]], trained: Iterable[str]
) -> list[QuantizedCurve]:
    """Return the curves of ``given`` that quantize one of ``trained``, by the file at ``path``.

    The fair opponent of each is among them, whether the file names it or not.

    Raises:
        UserError: naming the first thing in the file that is wrong.
    """
    known = list(trained)
    curves = [_curve(path, name, curve, known) for name, curve in given.items()]
    held = {(c.source, c.more_steps) for c in curves if c.lattice == NO_LATTICE}
    added: dict[tuple[str, int], QuantizedCurve] = {}
    for curve in curves:
        key = curve.source, curve.more_steps
        if key not in held:
            added[key] = curve.refitted()
    for curve in added.values():
        if curve.name in given or curve.name in known:
            raise UserError(
                f"{path}: curve {curve.name}: this is what the sweep calls the Gaussian with its "
                f"prior refitted; name yours otherwise"
            )
    return [*added.values(), *curves]


@dataclass(frozen=True, kw_only=True)
class _Curve(Config):
    quantize: object = option(..., "the curve to quantize")
    lattice: str = option(..., f"a lattice, or {NO_LATTICE} to refit the Gaussian's prior alone")
    lattice_code: str = option(AUTO, "the code on its points", [AUTO, *code_names()])
    more_steps: int = option(
        0, "how many more steps to train with the lattice's noise", range=COUNT_OR_ZERO
    )


def _curve(path: Path, name: str, curve: Mapping[str, Any], trained: list[str]) -> QuantizedCurve:
    where = f"{path}: curve {name}"
    source = str(curve[QUANTIZE])
    if source not in trained:
        raise unknown_name(f"curve to quantize in {where}:", source, trained)
    for key in curve:
        if key not in (known := list(declared(_Curve))) + list(SCHEDULES):
            raise UserError(
                f"{where}: {key}: has no place beside 'quantize': expected "
                f"{', '.join(known[1:])}; all other options are those of {source}"
            )
    for schedule in SCHEDULES:
        if curve.get(schedule, False) is not False:
            raise UserError(
                f"{where}: {schedule}: its runs are those of {source}; leave it out, or say false"
            )
    own = {key: value for key, value in curve.items() if key not in SCHEDULES}
    given = from_mapping(_Curve, own, where)
    code = None if given.lattice_code == AUTO else given.lattice_code
    if code and given.lattice == NO_LATTICE:
        raise UserError(f"{where}: lattice_code: there is no lattice to code; leave it out")
    return QuantizedCurve(
        name=name,
        source=source,
        lattice=_checked_lattice(where, given.lattice),
        code=code,
        more_steps=given.more_steps,
        schedules=tuple(schedule for schedule in SCHEDULES if schedule not in curve),
    )


def _checked_lattice(where: str, lattice: str) -> str:
    if lattice != NO_LATTICE:
        try:
            lattice_for(lattice, ANY_DIM)
        except UserError as error:
            raise UserError(
                f"{where}: {error}; {NO_LATTICE!r} refits the Gaussian's prior alone"
            ) from error
    return lattice


def check_source(path: Path, curve: QuantizedCurve, source: Run) -> None:
    """Check that ``curve`` can quantize the run ``source``.

    Raises:
        UserError: if it has other noise than the Gaussian's, or is annealed and to be trained on.
    """
    where = f"{path}: curve {curve.name}"
    bottleneck = source.options.get("bottleneck")
    if bottleneck != GAUSSIAN:
        raise UserError(
            f"{where}: quantize {curve.source}: its bottleneck is {bottleneck}; expected a curve "
            f"of bottleneck: gaussian, in whose noise's place the lattice is put"
        )
    if curve.more_steps and source.schedule == ANNEALED:
        raise UserError(
            f"{where}: more_steps: lambda of {source.name} would go on growing; say "
            f"'annealed: false' for this curve, or leave more_steps out"
        )
