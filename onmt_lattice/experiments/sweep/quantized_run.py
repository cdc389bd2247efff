"""A run that quantizes another one's checkpoints, and may train on from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from onmt_lattice.bottlenecks import has_code
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import NO_LATTICE
from onmt_lattice.experiments.sweep.run import RESUME, Run

SEED = 0  # of the quantization: whatever the training's, the same sentences are fitted to


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantizedRun(Run):
    """A lattice in the checkpoints of a Gaussian run; its ``options`` are that run's.

    Attributes:
        source: the run of ``bottleneck: gaussian``, of the same schedule, point and seed.
        lattice: its name, or ``none`` where only the Gaussian's prior is fitted.
        code: name of the code on its points, None for the lattice's own.
        more_steps: how many more steps are trained with the lattice's noise; ``train_steps``
            of the options are with these.
    """

    source: Run
    lattice: str
    code: str | None = None
    more_steps: int = 0

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
        """Return the last command that makes it: of training, or of quantizing."""
        if not self.more_steps:
            return self._quantize_command(self.steps)
        folder = str(self.folder)
        words = ["-config", str(self.source.config), *self._bottleneck()]
        words += ["-save_model", f"{folder}/model", "-log_json", str(self.history)]
        return ["onmt_lattice", "train", *words, "-train_steps", str(self.steps)]

    def making_commands(self, devices: tuple[str, ...]) -> list[list[str]]:
        """See :meth:`Run.making_commands`."""
        gpu = ["-gpu", "0"] if devices else []
        made = self.checkpoints()
        steps = self.evaluated() if not self.more_steps else [] if made else [self.source.steps]
        making = [[*self._quantize_command(s), *gpu] for s in steps if s not in made]
        if self.more_steps:
            making.append([*self.train_command(), *devices, *RESUME])
        return making

    def _bottleneck(self) -> list[str]:
        if self.lattice == NO_LATTICE:
            return []
        return ["-bottleneck", "lattice", "-lattice", self.lattice, *self._code()]

    def _code(self) -> list[str]:
        return [] if self.code is None else ["-lattice_code", self.code]

    def _quantize_command(self, step: int) -> list[str]:
        words = ["-model", str(self.source.checkpoint(step)), "-lattice", self.lattice]
        words += [*self._code(), "-src", _training_text(self.options)]
        words += ["-output", str(self.checkpoint(step)), "-seed", str(SEED)]
        return ["onmt_lattice", "quantize", *words]

    def _wanted(self) -> dict[str, Any]:
        """Return what says of a folder that it holds this run."""
        made = {"quantize": self.source.name, "lattice": self.lattice, "lattice_code": self.code}
        return {**self.options, **made, "more_steps": self.more_steps}


def _training_text(options: dict[str, Any]) -> str:
    """Return the path of the first text that is trained on."""
    corpora = [corpus for name, corpus in options["data"].items() if name != "valid"]
    return str(Path(corpora[0]["path_src"]))


ASIDE = ".aside"


def put_aside(runs: Iterable[Run]) -> Iterator[str]:
    """Rename the damaged checkpoints of unfinished ``runs``, and say of each what was done.

    Training goes on from the newest checkpoint, so that those after a damaged one are renamed with
    it, and made again from the one before.
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


def _damage(path: object) -> str:
    """Return why the checkpoint at ``path`` cannot be read, nothing if it can."""
    from onmt_lattice.opennmt.checkpoint import load_checkpoint

    try:
        load_checkpoint(str(path))
    except UserError as error:
        return str(error)
    return ""
