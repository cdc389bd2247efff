"""Saving checkpoints during training."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onmt.models.model_saver import ModelSaver
from onmt.utils.logging import logger
from torch import Tensor

from onmt_lattice import __version__
from onmt_lattice.errors import UserError
from onmt_lattice.files import CHECKPOINT, checkpoint_path
from onmt_lattice.opennmt.checkpoint.contents import (
    FORMAT,
    GENERATOR,
    PLUGIN_KEY,
    aliases,
    not_finite,
    pack,
)
from onmt_lattice.opennmt.model.devices import gathered, rank
from onmt_lattice.tensor_file import write_file


def write_checkpoint(path: str | os.PathLike[str], checkpoint: dict[str, Any]) -> None:
    """Write ``checkpoint``, whole or not at all, with a digest."""
    write_file(path, *pack(checkpoint))


class CheckpointSaver(ModelSaver):
    """OpenNMT-py's saver, with files that are written whole or not at all.

    Every process has one and saves when the others do; the first process writes the file.

    Attributes:
        run_state: returns what a resumed run needs beside model and optimizer.
        process_state: returns the state of this process; see :mod:`~.checkpoint.contents`.
        files: of the transforms; see :func:`embedded_files`.
        last_path: of the last checkpoint written or resumed from.
    """

    run_state: Callable[[], dict[str, Any]]
    process_state: Callable[[], dict[str, Any]]
    files: dict[str, Tensor]
    last_path = ""
    last_saved_step: int | None

    @property
    def last(self) -> str:
        """The last checkpoint, as a phrase for messages."""
        return f"the last good one is {self.last_path}" if self.last_path else "there is none yet"

    def save(self, step: int, moving_average: list[Tensor] | None = None) -> None:
        """Write the checkpoint of a step, with both its parameters and their average if given.

        None is written after a step that was skipped.
        """
        if self.keep_checkpoint == 0 or step == self.last_saved_step:
            return
        if self.optim.skipped_in_row:
            logger.warning("Step %d: no checkpoint, as its gradient was not finite", step)
            return
        path = str(checkpoint_path(self.base_path, step))
        logger.info("Saving checkpoint %s", path)
        self._write(path, step, moving_average)
        self.last_saved_step, self.last_path = step, path
        if self.keep_checkpoint > 0 and path not in self.checkpoint_queue:
            if len(self.checkpoint_queue) == self.keep_checkpoint:
                self._rm_checkpoint(self.checkpoint_queue.popleft())
            self.checkpoint_queue.append(path)

    def save_best(self, step: int, moving_average: list[Tensor] | None = None) -> None:
        """Write the checkpoint of a step as the best one."""
        if self.keep_checkpoint != 0 and not self.optim.skipped_in_row:
            self._write(f"{self.base_path}_best{CHECKPOINT}", step, moving_average)

    def _write(self, path: str, step: int, moving_average: list[Tensor] | None) -> None:
        processes = gathered(self.process_state())
        if rank() > 0:
            return
        checkpoint = self._contents(step, processes, moving_average)
        if broken := not_finite(checkpoint):
            count = len(checkpoint["model"]) + len(checkpoint["generator"])
            raise UserError(
                f"step {step}: {len(broken)} of {count} tensors hold numbers that are not "
                f"finite, {broken[0]} the first; no checkpoint of it is written, {self.last}; a "
                f"smaller -learning_rate may help"
            )
        try:
            write_checkpoint(path, checkpoint)
        except OSError as error:
            raise UserError(
                f"checkpoint {path}: cannot be written ({error.strerror}); {self.last}"
            ) from error

    def _contents(
        self, step: int, processes: list[dict[str, Any]], moving_average: list[Tensor] | None
    ) -> dict[str, Any]:
        """Return the checkpoint; with averages as the model, the parameters are ``raw``."""
        state, raw = self.model.state_dict(), {}
        if moving_average:
            raw = {"raw": dict(self.model.named_parameters())}
            tied = aliases(state)
            state = {**state, **dict(zip(raw["raw"], moving_average, strict=True))}
            state |= {name: state[first] for name, first in tied.items()}
        return {
            "model": {k: v for k, v in state.items() if not k.startswith(GENERATOR)},
            "generator": {
                k.removeprefix(GENERATOR): v for k, v in state.items() if k.startswith(GENERATOR)
            },
            "vocab": self.fields,
            "opt": self.model_opt,
            "optim": self.optim.state_dict(),
            PLUGIN_KEY: {
                "format": FORMAT,
                "version": __version__,
                "step": step,
                "files": self.files,
                **raw,
                **self.run_state(),
                "processes": processes,
            },
        }

    def _rm_checkpoint(self, name: str) -> None:
        if rank() == 0:
            Path(name).unlink(missing_ok=True)
