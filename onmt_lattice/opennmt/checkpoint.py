"""Checkpoints: written whole, read without running code, every key checked."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import onmt.model_builder
import torch
from onmt.models.model_saver import ModelSaver
from onmt.utils.logging import logger
from onmt.utils.parse import ArgumentParser

from onmt_lattice import __version__
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation import Quantized
from onmt_lattice.files import whole_file
from onmt_lattice.opennmt.archive import read_archive
from onmt_lattice.opennmt.contents import (
    check_are_tensors,
    check_names,
    check_options,
    check_ours,
    check_tensors,
    check_vocabulary,
    named_tensors,
    not_finite,
)
from onmt_lattice.opennmt.digest import digest
from onmt_lattice.opennmt.model import Autoencoder
from onmt_lattice.opennmt.processes import gathered, rank
from onmt_lattice.opennmt.upgrade import upgrade

FORMAT = 3
CHANNELS, WITH_DIGEST = 2, 3  # formats from which on a checkpoint has them
OUR_KEY = "onmt_lattice"
OUR_CONTENTS = frozenset("format version step random_state files batches_taken rate_weight".split())


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the checkpoint at ``path``, on the CPU, with everything in it that a model needs.

    Raises:
        UserError: if the file is missing, is damaged, was not written by this package, or asks for
            anything that could run code.
    """
    if not os.path.isfile(path):
        raise UserError(f"checkpoint {path}: no such file")
    logger.info("Loading checkpoint from %s", path)
    checkpoint = read_archive(path)
    _check_keys(path, checkpoint)
    _check_digest(path, checkpoint)
    with refusing(path):
        _check_contents(checkpoint)
    return checkpoint


@contextlib.contextmanager
def refusing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise the :class:`UserError` of the checkpoint at ``path`` for what the body finds wrong."""
    try:
        yield
    except (UserError, RuntimeError) as error:  # torch's, of weights that do not fit
        raise UserError(f"checkpoint {path}: refused: {error}") from error


def _check_contents(checkpoint: dict[str, Any]) -> None:
    """Check every value by itself, and against the others; bring an old format up to date."""
    check_vocabulary(checkpoint["vocab"])
    opt = check_options(checkpoint["opt"])
    check_ours(checkpoint[OUR_KEY], opt.bucket_size)
    check_are_tensors(checkpoint)
    if checkpoint[OUR_KEY]["format"] < CHANNELS:
        try:
            upgrade(checkpoint)
        except (LookupError, TypeError, RuntimeError, ZeroDivisionError) as error:
            raise UserError("it lacks what a model of format 1 had") from error
        opt = check_options(checkpoint["opt"])
    check_tensors(opt, checkpoint)


def write_checkpoint(path: str | os.PathLike[str], checkpoint: dict[str, Any]) -> None:
    """Write ``checkpoint``, whole or not at all, with a digest of all that is in it."""
    ours = checkpoint[OUR_KEY]
    ours["digest"] = _digest(checkpoint)
    with whole_file(path) as part:
        torch.save(checkpoint, part)


def _digest(checkpoint: dict[str, Any]) -> str:
    ours = {k: v for k, v in checkpoint[OUR_KEY].items() if k != "digest"}
    return digest({**checkpoint, OUR_KEY: ours})


def _check_keys(path: str | os.PathLike[str], checkpoint: Any) -> None:
    expected = {"model", "generator", "vocab", "opt", "optim"}
    if not isinstance(checkpoint, dict) or not expected <= set(checkpoint):
        raise UserError(f"checkpoint {path}: not a checkpoint of OpenNMT-py")
    if OUR_KEY not in checkpoint:
        raise UserError(
            f"checkpoint {path}: has no bottleneck; train one with 'onmt_lattice train'"
        )
    ours = checkpoint[OUR_KEY]
    if not isinstance(ours, dict) or not OUR_CONTENTS <= set(ours):
        raise UserError(f"checkpoint {path}: damaged, expected {sorted(OUR_CONTENTS)} in it")
    if type(ours["format"]) is not int or ours["format"] < 1:
        raise UserError(f"checkpoint {path}: damaged, expected the number of its format in it")
    if ours["format"] > FORMAT:
        raise UserError(
            f"checkpoint {path}: written by onmt_lattice {str(ours['version'])[:40]} in a newer "
            f"format; this is {__version__}, update it"
        )


def _check_digest(path: str | os.PathLike[str], checkpoint: dict[str, Any]) -> None:
    """Refuse what is not as it was written."""
    ours = checkpoint[OUR_KEY]
    if "digest" in ours and ours["digest"] != _digest(checkpoint):
        raise UserError(
            f"checkpoint {path}: damaged: its contents do not agree with the digest they were "
            f"written with; get it again from where it came, or take an earlier one"
        )
    if "digest" not in ours and ours["format"] >= WITH_DIGEST:
        raise UserError(f"checkpoint {path}: damaged, expected a digest in it")
    if "digest" not in ours:
        logger.warning("Checkpoint %s has no digest, which would tell if it were damaged", path)


def check_loaded(model: Autoencoder, checkpoint: dict[str, Any]) -> None:
    """Raise :class:`UserError` unless model and checkpoint have the same keys.

    OpenNMT-py loads with ``strict=False``, which would leave a missing parameter at random.
    """
    check_names(set(model.state_dict()), {name for name, _ in named_tensors(checkpoint)})


# ---- subword models travel with the weights ------------------------------------------------------

FILE_OPTIONS = ("src_subword_model", "tgt_subword_model", "src_subword_vocab", "tgt_subword_vocab")


def embedded_files(opt: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return the bytes (uint8) of each file that the transforms of ``opt`` read, by option."""
    files = {}
    for name in FILE_OPTIONS:
        path = getattr(opt, name, None)
        if path and os.path.isfile(path):
            with open(path, "rb") as file:
                files[name] = torch.tensor(list(file.read()), dtype=torch.uint8)
    return files


def unpack_files(opt: argparse.Namespace, files: dict[str, torch.Tensor]) -> None:
    """Point ``opt`` at copies of the embedded ``files``, removed when the process ends.

    Raises:
        UserError: for a name that is no option of a file, which could be any path.
    """
    if not files:
        return
    if not set(files) <= set(FILE_OPTIONS):
        raise UserError(f"checkpoint: refused, as it would write files {sorted(files)}")
    folder = tempfile.mkdtemp(prefix="onmt_lattice_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in files.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(bytes(content.tolist()))
        setattr(opt, name, path)


class LoadedAutoencoder(NamedTuple):
    """A model ready to evaluate.

    Attributes:
        model: the autoencoder, in evaluation mode.
        fields: OpenNMT-py's fields, with the vocabulary.
        opt: the options it was trained with.
        step: training steps done.
        rate_weight: λ at that step.
        quantized: what quantizing it cost, where its channel was fitted after training.
    """

    model: Autoencoder
    fields: dict[str, Any]
    opt: argparse.Namespace
    step: int
    rate_weight: float
    quantized: Quantized | None = None


def load_autoencoder(path: str | os.PathLike[str], gpu: int = -1) -> LoadedAutoencoder:
    """Return the model of the checkpoint at ``path``, on ``gpu`` or, below 0, on the CPU.

    Raises:
        UserError: as :func:`load_checkpoint`, or if weights are missing or of another shape.
    """
    return build_autoencoder(path, load_checkpoint(path), gpu)


def build_autoencoder(
    path: str | os.PathLike[str], checkpoint: dict[str, Any], gpu: int = -1
) -> LoadedAutoencoder:
    """Return the model of the ``checkpoint`` that was read from ``path``.

    Raises:
        UserError: as :func:`load_autoencoder`.
    """
    if gpu >= torch.cuda.device_count():
        raise UserError(f"-gpu {gpu}: no such CUDA device was found; leave it out to use the CPU")
    opt = ArgumentParser.ckpt_model_opts(checkpoint["opt"])
    ArgumentParser.update_model_opts(opt)
    ArgumentParser.validate_model_opts(opt)
    opt.update_vocab = False
    fields = checkpoint["vocab"]
    with refusing(path):
        model = onmt.model_builder.build_base_model(opt, fields, gpu >= 0, checkpoint, gpu)
        check_loaded(model, checkpoint)
    model.eval()
    ours = checkpoint[OUR_KEY]
    unpack_files(opt, ours["files"])
    step, weight = ours["step"], ours["rate_weight"]
    quantized = Quantized(**ours["quantized"]) if "quantized" in ours else None
    return LoadedAutoencoder(model, fields, opt, step, weight, quantized)


# ---- random state, so that a resumed run is the same run -----------------------------------------


def random_state() -> dict[str, Any]:
    """Return the state of every random generator, in tensors and plain values."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {**host_random_state(), "cuda": cuda}


def host_random_state() -> dict[str, Any]:
    """Return the state of the random generators that are on no GPU."""
    name, keys, position, has_gauss, cached = cast(tuple, np.random.get_state(legacy=True))
    return {
        "torch": torch.get_rng_state(),
        "python": list(random.getstate()[1]),
        "numpy": [name, keys.tolist(), int(position), int(has_gauss), float(cached)],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set the random generators to a state of :func:`random_state` or of those on no GPU."""
    torch.set_rng_state(state["torch"])
    cuda = state.get("cuda", [])
    if cuda and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
    random.setstate((3, tuple(state["python"]), None))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))


def forget_unknown(fields: dict[str, Any]) -> None:
    """Remove from the vocabulary the unknown tokens that looking them up has left in it."""
    for side in ("src", "tgt"):
        vocabulary = fields[side].base_field.vocab
        for token in set(vocabulary.stoi) - set(vocabulary.itos):
            del vocabulary.stoi[token]


def share_of(checkpoint: dict[str, Any], rank: int) -> dict[str, Any] | None:
    """Return what a checkpoint holds of one process alone; None if it had fewer of them.

    That is its ``random_state``, the sums that it had not reported yet (``unreported``) and the
    ``position`` in its data, the latter two None if the checkpoint is older than they are.
    """
    ours = checkpoint[OUR_KEY]
    shares = [ours, *ours.get("others", [])]
    if rank >= len(shares):
        return None
    names = ("random_state", "unreported", "position")
    return {name: shares[rank].get(name) for name in names}


class CheckpointSaver(ModelSaver):
    """OpenNMT-py's saver, writing each file aside and renaming it when whole.

    Every process has one and saves when the others do; the first of them writes the file.

    Attributes:
        progress: returns what a resumed run needs beside model and optimizer.
        share: returns what it needs of this process alone; see :func:`share_of`.
        files: the files that the transforms of this run read; see :func:`embedded_files`.
        last_path: of the last checkpoint written or gone on from.
    """

    progress: Callable[[], dict[str, Any]] = staticmethod(dict)
    share: Callable[[], dict[str, Any]] = staticmethod(lambda: {"random_state": random_state()})
    files: dict[str, torch.Tensor]
    last_path = ""
    last_saved_step: int | None

    @property
    def last(self) -> str:
        """Say which checkpoint was the last that this run has written."""
        return f"the last good one is {self.last_path}" if self.last_path else "there is none yet"

    def count(self, paths: list[str]) -> None:
        """Count the newest of ``paths``, written before, among those to keep."""
        if self.keep_checkpoint > 0:
            self.checkpoint_queue.extend(paths)

    def save(self, step: int, moving_average: list[torch.Tensor] | None = None) -> None:
        """Write the checkpoint of a step: its parameters, or their average and both.

        None is written in the middle of steps that had to be left out.
        """
        if self.keep_checkpoint == 0 or step == self.last_saved_step:
            return
        if self.optim.skipped_in_row:
            logger.warning("Step %d: no checkpoint, as its gradient was not finite", step)
            return
        path = f"{self.base_path}_step_{step}.pt"
        logger.info("Saving checkpoint %s", path)
        self._write(path, step, moving_average)
        self.last_saved_step, self.last_path = step, path
        if self.keep_checkpoint > 0 and path not in self.checkpoint_queue:
            if len(self.checkpoint_queue) == self.keep_checkpoint:
                self._rm_checkpoint(self.checkpoint_queue.popleft())
            self.checkpoint_queue.append(path)

    def save_best(self, step: int, moving_average: list[torch.Tensor] | None = None) -> None:
        """Write the checkpoint of a step in place of the best one before it."""
        if self.keep_checkpoint != 0 and not self.optim.skipped_in_row:
            self._write(f"{self.base_path}_best.pt", step, moving_average)

    def _write(self, path: str, step: int, moving_average: list[torch.Tensor] | None) -> None:
        first, *others = gathered(self.share())
        if rank() > 0:
            return
        checkpoint = self._contents(step, moving_average)
        checkpoint[OUR_KEY].update(first)
        if others:
            checkpoint[OUR_KEY]["others"] = others
        self._require_finite(checkpoint, step)
        try:
            write_checkpoint(path, checkpoint)
        except (OSError, RuntimeError) as error:  # of the disk, by Python or by torch's writer
            raise UserError(
                f"checkpoint {path}: cannot be written ({error}); {self.last}"
            ) from error

    def _contents(self, step: int, moving_average: list[torch.Tensor] | None) -> dict[str, Any]:
        """Return the checkpoint; averages stand in for the parameters, which are kept as raw."""
        forget_unknown(self.fields)
        state = self.model.state_dict()
        ours: dict[str, Any] = {}
        if moving_average:
            names = [name for name, _ in self.model.named_parameters()]
            ours["raw"] = [p.detach() for p in self.model.parameters()]
            state = {**state, **dict(zip(names, moving_average, strict=True))}
        return {
            "model": {k: v for k, v in state.items() if not k.startswith("generator.")},
            "generator": {
                k.removeprefix("generator."): v
                for k, v in state.items()
                if k.startswith("generator.")
            },
            "vocab": self.fields,
            "opt": self.model_opt,
            "optim": self.optim.state_dict(),
            OUR_KEY: {
                "format": FORMAT,
                "version": __version__,
                "step": step,
                "files": self.files,
                **ours,
                **self.progress(),
            },
        }

    def _require_finite(self, checkpoint: dict[str, Any], step: int) -> None:
        if broken := not_finite(checkpoint):
            count = len(checkpoint["model"]) + len(checkpoint["generator"])
            raise UserError(
                f"step {step}: {len(broken)} of {count} tensors hold numbers that are not "
                f"finite, {broken[0]} the first; no checkpoint of it is written, {self.last}; a "
                f"smaller -learning_rate may help"
            )

    def _rm_checkpoint(self, name: str) -> None:
        if rank() > 0:
            return
        with contextlib.suppress(FileNotFoundError):
            os.remove(name)
