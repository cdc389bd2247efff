"""Curves and runs that quantize the checkpoints of other runs, and may train on from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from onmt_lattice.bottlenecks import has_code
from onmt_lattice.bottlenecks.lattice import ANY_DIM, AUTO, lattice_for
from onmt_lattice.codes import code_names
from onmt_lattice.config import COUNT_OR_ZERO, Config, declared, from_mapping, option
from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.evaluation.result import NO_LATTICE
from onmt_lattice.experiments.report.results import ANNEALED, FIXED, SCHEDULES
from onmt_lattice.experiments.sweep.run import RESUME, Run

QUANTIZE = "quantize"
GAUSSIAN = "gaussian"
SEED = 0  # of the quantization: whatever the training's, the same sentences are fitted to
ASIDE = ".aside"


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantizedRun(Run):
    """A lattice in the checkpoints of a Gaussian run; its ``options`` are that run's."""

    source: Run  # of ``bottleneck: gaussian``, of the same schedule, point and seed
    lattice: str  # its name, or ``none`` where only the Gaussian's prior is fitted
    code: str | None = None  # name of the code on its points, None for the lattice's own
    more_steps: int = 0  # trained with the lattice's noise; ``train_steps`` includes them

    outputs: ClassVar[tuple[str, ...]] = (".json", ".tsv")  # each sentence's, for paired intervals

    @property
    def has_code(self) -> bool:
        """See :attr:`Run.has_code`."""
        code = {} if self.code is None else {"lattice_code": self.code}
        return self.lattice != NO_LATTICE and has_code("lattice", {"lattice": self.lattice, **code})

    @property
    def waits_for(self) -> Run:
        """See :meth:`Run.waits_for`."""
        return self.source

    @property
    def trained(self) -> bool:
        """Whether every checkpoint to evaluate is there."""
        return all(path.exists() for path in self.evaluated().values())

    def step(self) -> int:
        """See :meth:`Run.step`; those of the source are done before."""
        return max(super().step(), self.source.steps)

    def train_command(self) -> list[str]:
        """Return the last command that writes its checkpoints: of training, or of quantizing."""
        if not self.more_steps:
            return self._quantize_command(self.steps)
        folder = str(self.folder)
        words = ["-config", str(self.source.config)]
        if self.lattice != NO_LATTICE:
            words += ["-bottleneck", "lattice", "-lattice", self.lattice, *self._code()]
        words += ["-save_model", f"{folder}/model", "-log_json", str(self.history)]
        return ["onmt_lattice", "train", *words, "-train_steps", str(self.steps)]

    def training_commands(self, devices: tuple[str, ...]) -> list[list[str]]:
        """See :meth:`Run.training_commands`."""
        gpu = ["-gpu", "0"] if devices else []
        present = self.checkpoints()
        steps = self.evaluated() if not self.more_steps else [] if present else [self.source.steps]
        commands = [[*self._quantize_command(s), *gpu] for s in steps if s not in present]
        if self.more_steps:
            commands.append([*self.train_command(), *devices, *RESUME])
        return commands

    def _code(self) -> list[str]:
        return [] if self.code is None else ["-lattice_code", self.code]

    def _quantize_command(self, step: int) -> list[str]:
        words = ["-model", str(self.source.checkpoint(step)), "-lattice", self.lattice]
        corpora = [corpus for name, corpus in self.options["data"].items() if name != "valid"]
        words += [*self._code(), "-src", str(Path(corpora[0]["path_src"]))]
        words += ["-output", str(self.checkpoint(step)), "-seed", str(SEED)]
        return ["onmt_lattice", "quantize", *words]

    def _identity(self) -> dict[str, Any]:
        own = {"quantize": self.source.name, "lattice": self.lattice, "lattice_code": self.code}
        return {**self.options, **own, "more_steps": self.more_steps}


@dataclass(frozen=True)
class QuantizedCurve:
    """A curve of lattices in the checkpoints of another curve; fields as of its runs."""

    name: str
    source: str  # name of the curve that it quantizes
    lattice: str
    code: str | None = None
    more_steps: int = 0
    schedules: tuple[str, ...] = SCHEDULES  # those of the source that it follows

    def options(self) -> dict[str, Any]:
        """Return its options in the file, for the results."""
        others = {"lattice_code": self.code, "more_steps": self.more_steps}
        chosen = {key: value for key, value in others.items() if value}
        return {QUANTIZE: self.source, "lattice": self.lattice, **chosen}

    def refitted(self) -> QuantizedCurve:
        """Return its fair opponent: the Gaussian with its prior refitted."""
        more = f", {self.more_steps} more steps" if self.more_steps else ""
        name = f"{self.source}, refitted{more}"
        schedules = (FIXED,) if self.more_steps else SCHEDULES
        return QuantizedCurve(name, self.source, NO_LATTICE, None, self.more_steps, schedules)

    def run(self, source: Run, folder: Path) -> QuantizedRun:
        """Return its run for a run of the source."""
        inherited = {field.name: getattr(source, field.name) for field in fields(Run)}
        options = {**source.options, "train_steps": source.steps + self.more_steps}
        own = {"curve": self.name, "folder": folder, "options": options, "source": source}
        quantizing = {"lattice": self.lattice, "code": self.code, "more_steps": self.more_steps}
        return QuantizedRun(**inherited | own | quantizing)


def quantized_curves(
    path: Path, file: Mapping[str, Mapping[str, Any]], trained: Iterable[str]
) -> list[QuantizedCurve]:
    """Return the curves of ``file``, which is at ``path``, that quantize one of ``trained``.

    The fair opponent of each is among them, whether the file names it or not.
    """
    known = list(trained)
    curves = [_curve(path, name, curve, known) for name, curve in file.items()]
    named = {(c.source, c.more_steps) for c in curves if c.lattice == NO_LATTICE}
    added = {(c.source, c.more_steps): c.refitted() for c in curves}
    opponents = [curve for key, curve in added.items() if key not in named]
    for curve in opponents:
        if curve.name in file or curve.name in known:
            raise UserError(
                f"{path}: curve {curve.name}: this is what the sweep calls the Gaussian with its "
                f"prior refitted; name yours otherwise"
            )
    return [*opponents, *curves]


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
                f"{where}: {key}: not an option beside 'quantize': expected "
                f"{', '.join(known[1:])}; all other options are those of {source}"
            )
    for schedule in SCHEDULES:
        if curve.get(schedule, False) is not False:
            raise UserError(
                f"{where}: {schedule}: its runs are those of {source}; leave it out, or set false"
            )
    own = {key: value for key, value in curve.items() if key not in SCHEDULES}
    options = from_mapping(_Curve, own, where)
    code = None if options.lattice_code == AUTO else options.lattice_code
    if options.lattice != NO_LATTICE:
        try:
            lattice_for(options.lattice, ANY_DIM)
        except UserError as error:
            raise UserError(
                f"{where}: {error}; {NO_LATTICE!r} refits the Gaussian's prior alone"
            ) from error
    elif code:
        raise UserError(f"{where}: lattice_code: there is no lattice to code; leave it out")
    schedules = tuple(schedule for schedule in SCHEDULES if schedule not in curve)
    return QuantizedCurve(name, source, options.lattice, code, options.more_steps, schedules)


def check_source(path: Path, curve: QuantizedCurve, source: Run) -> None:
    """Check that ``curve`` can quantize the run ``source``."""
    where = f"{path}: curve {curve.name}"
    bottleneck = source.options.get("bottleneck")
    if bottleneck != GAUSSIAN:
        raise UserError(
            f"{where}: quantize {curve.source}: its bottleneck is {bottleneck}; expected a curve "
            f"of bottleneck: gaussian, whose noise the lattice replaces"
        )
    if curve.more_steps and source.schedule == ANNEALED:
        raise UserError(
            f"{where}: more_steps: lambda of {source.name} would continue to grow; set "
            f"'annealed: false' for this curve, or leave more_steps out"
        )


def put_aside(runs: Iterable[Run]) -> Iterator[str]:
    """Rename the damaged checkpoints of unfinished ``runs``, and yield a message for each.

    Training resumes from the newest checkpoint, so those after a damaged one are renamed with it,
    and written again from the one before.
    """
    for run in runs:
        if run.finished:
            continue
        for each in filter(None, (run.waits_for, run)):
            for step, path in each.evaluated().items():
                if damage := _damage(path) if path.exists() else "":
                    later = {s: p for s, p in each.checkpoints().items() if s >= step}
                    for p in later.values():
                        p.replace(f"{p}{ASIDE}")
                    yield f"run {each.name}: {damage}; resumes from the checkpoint before"
                    break


def _damage(path: Path) -> str:
    """Return why the checkpoint at ``path`` cannot be read, empty if it can."""
    from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint

    try:
        load_checkpoint(str(path))
    except UserError as error:
        return str(error)
    return ""
