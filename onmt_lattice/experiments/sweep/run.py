"""One training run of a sweep and the folder that holds all of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from onmt_lattice.bottlenecks import has_code
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.environment import python
from onmt_lattice.experiments.report.results import FIXED
from onmt_lattice.files import checkpoint_path, checkpoints, read_json, write_text

PATHS = ("save_model", "src_vocab", "tgt_vocab", "log_json")  # a sweep may move to another folder
SAVE_CHECKPOINT_STEPS = 5000  # OpenNMT-py's default
BOTTLENECK = "gaussian"  # the default of train
# The files that evaluate writes of a checkpoint, and the options that ask for them.
OUTPUTS = {".json": "-output", ".txt": "-reconstruct", ".tsv": "-scores"}
RESUME = ("-resume", "auto")
PROGRAM = (*python(), "-m", "onmt_lattice")


@dataclass(frozen=True, eq=False)
class Run:
    """One training run: its curve and point, its options and its folder.

    The folder holds ``config.yaml``, checkpoints ``model_step_N.safetensors``, their evaluations
    ``model_step_N.json`` and reconstructions ``model_step_N.txt``, ``history.jsonl`` and
    ``train.log``.
    """

    curve: str
    schedule: str  # annealed: each checkpoint is a point of the curve, not the last one alone
    point: dict[str, Any]  # the options in which it differs from others of its curve and seed
    seed: int
    folder: Path
    options: dict[str, Any]  # of ``onmt_lattice train``
    test: Path  # the text to evaluate on, the target
    evaluate_every: int = 1  # evaluate checkpoints of an annealed run whose step this divides
    reconstruct: int = 3  # how many checkpoints of an annealed run to decode the text with
    test_source: Path | None = None  # None if that is the text itself

    outputs: ClassVar[tuple[str, ...]] = (".json",)  # of every evaluation

    @property
    def name(self) -> str:
        """Its name in progress and tables."""
        return self.folder.name

    @property
    def steps(self) -> int:
        """How many training steps it takes."""
        return int(self.options["train_steps"])

    @property
    def has_code(self) -> bool:
        """Whether its representations can be written to a file, to measure the size."""
        return has_code(str(self.options.get("bottleneck", BOTTLENECK)), self.options)

    @property
    def waits_for(self) -> Run | None:
        """The run that has to be trained before this one can start."""
        return None

    @property
    def log(self) -> Path:
        """Where the output of its commands goes."""
        return self.folder / "train.log"

    @property
    def history(self) -> Path:
        """Where training writes its reports, line by line."""
        return self.folder / "history.jsonl"

    @property
    def config(self) -> Path:
        """The options as YAML."""
        return self.folder / "config.yaml"

    def checkpoints(self) -> dict[int, Path]:
        """Return the checkpoints on disk by their step, in order."""
        return checkpoints(self.folder / "model")

    def checkpoint(self, step: int) -> Path:
        """Return where the checkpoint of ``step`` is, or will be."""
        return checkpoint_path(self.folder / "model", step)

    @property
    def trained(self) -> bool:
        """Whether the last checkpoint is there."""
        return self.checkpoint(self.steps).exists()

    @property
    def finished(self) -> bool:
        """Whether it is trained and every checkpoint asked for is evaluated."""
        return self.command() is None

    def evaluated(self) -> dict[int, Path]:
        """Return the checkpoints to evaluate by their step, in order."""
        every = int(self.options.get("save_checkpoint_steps", SAVE_CHECKPOINT_STEPS))
        saved = [] if self.schedule == FIXED else range(every, self.steps, every)
        steps = [step for step in saved if step % self.evaluate_every == 0]
        return {step: self.checkpoint(step) for step in [*steps, self.steps]}

    def decoded(self) -> dict[int, Path]:
        """Return the checkpoints to decode the text with, by step: evenly spaced, the last too."""
        steps = list(self.evaluated().items())
        count = min(self.reconstruct, len(steps))
        return dict(steps[round((i + 1) * len(steps) / count) - 1] for i in range(count))

    def train_command(self) -> list[str]:
        """Return the command that trains from the start, as typed by hand."""
        return ["onmt_lattice", "train", "-config", str(self.config)]

    def evaluate_commands(self) -> list[list[str]]:
        """Return the commands that evaluate the checkpoints: without decoding the text, and with.

        Checkpoints whose results are there already are skipped.
        """
        decoded = self.decoded()
        plain = [path for step, path in self.evaluated().items() if step not in decoded]
        return [
            self._evaluate_command(plain, self.outputs),
            self._evaluate_command([*decoded.values()], (*self.outputs, ".txt")),
        ]

    def _evaluate_command(self, models: list[Path], outputs: tuple[str, ...]) -> list[str]:
        """Return the command that evaluates those of ``models`` of which an output is missing."""
        missing = [
            str(model)
            for model in models
            if not all(model.with_suffix(suffix).exists() for suffix in outputs)
        ]
        if not missing:
            return []
        folders = [word for output in outputs for word in (OUTPUTS[output], str(self.folder))]
        coded = ["-coded"] if self.has_code else []
        texts = ["-src", str(self.test_source or self.test)]
        texts += ["-tgt", str(self.test)] if self.test_source else []
        words = [*texts, *folders, *coded, "-model", *missing]
        return ["onmt_lattice", "evaluate", *words]

    def command(self, devices: tuple[str, ...] = ()) -> list[str] | None:
        """Return the next command that brings the run forward, None if it is finished.

        ``devices`` are the options that choose what to train on.
        """
        left = self.commands_left(devices)
        return [*PROGRAM, *left[0][1:]] if left else None

    def commands_left(self, devices: tuple[str, ...] = ()) -> list[list[str]]:
        """Return the commands that bring the run to its end, as typed by hand."""
        training = [] if self.trained else self.training_commands(devices)
        gpu = ["-gpu", "0"] if devices else []
        return [*training, *([*command, *gpu] for command in self.evaluate_commands() if command)]

    def training_commands(self, devices: tuple[str, ...]) -> list[list[str]]:
        """Return the commands that write the checkpoints, from the last whole one on."""
        return [[*self.train_command(), *devices, *RESUME]]

    def commands(self, devices: tuple[str, ...] = ()) -> Iterator[list[str]]:
        """Yield command after command until the run is finished, or one has not brought it forward.

        The caller runs each before it asks for the next.
        """
        last = None
        while (command := self.command(devices)) and command != last:
            yield command
            last = command

    def step(self) -> int:
        """Return the last step that was reported, or of a checkpoint."""
        lines = _tail(self.history, 4096).split("\n")[:-1]
        return int(json.loads(lines[-1])["step"]) if lines else max(self.checkpoints(), default=0)

    def log_end(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        return "\n".join(_tail(self.log, 8192).splitlines()[-lines:])

    def claim(self) -> bool:
        """Make the folder with the options in it, after a :meth:`check`; return whether it is new.

        Evaluations there of another text, or of a training that is to start anew, are removed.
        """
        self.check()
        new = not self.config.exists()
        untrained = not self.checkpoints()
        for suffix in (".txt", ".tsv", ".json"):
            for path in self.folder.glob(f"model_step_*{suffix}"):
                texts = _texts(path.with_suffix(".json"))
                if untrained or texts != (str(self.test_source or self.test), str(self.test)):
                    path.unlink()
        write_text(self.config, yaml.safe_dump(self._identity(), sort_keys=True))
        return new

    def check(self) -> None:
        """Check that a run in the folder, if any, has the same options."""
        if not self.config.exists():
            return
        try:
            saved = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            saved = None
        if not isinstance(saved, dict):
            raise UserError(
                f"{self.config}: damaged; remove the folder, or if the options of the run have "
                f"not changed, this file alone"
            )
        own = self._identity()
        changed = {k for k in {*saved, *own} - set(PATHS) if saved.get(k) != own.get(k)}
        if changed:
            raise UserError(
                f"{self.folder}: holds a run of other options ({', '.join(sorted(changed))}; see "
                f"{self.config}); remove the folder, or name another -output"
            )

    def _identity(self) -> dict[str, Any]:
        """Return the contents of ``config.yaml``."""
        paths = {"save_model": str(self.folder / "model"), "log_json": str(self.history)}
        return {**self.options, **paths}


def _texts(evaluation: Path) -> Any:
    """Return the paths of source and target that an evaluation is of, None if unknown."""
    try:
        values = read_json(evaluation, "the output of evaluate")
        return (values.get("source") or values)["text"], values["text"]
    except (UserError, AttributeError, KeyError, TypeError):
        return None


def _tail(path: Path, size: int) -> str:
    if not path.exists():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - size))
        return file.read().decode("utf-8", errors="replace")
