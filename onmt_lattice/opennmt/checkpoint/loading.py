"""Loading checkpoints, and the models in them."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import onmt.model_builder
import torch
from onmt.utils.logging import logger
from onmt.utils.parse import ArgumentParser
from torch import Tensor

from onmt_lattice import __version__
from onmt_lattice.config import check_ranges
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Quantized
from onmt_lattice.files import model_file
from onmt_lattice.opennmt.checkpoint.contents import (
    FORMAT,
    OUR_KEY,
    make_fields,
    named_tensors,
    unpack,
)
from onmt_lattice.opennmt.checkpoint.tensor_checks import check_names, check_tensors
from onmt_lattice.opennmt.model.autoencoder import Autoencoder
from onmt_lattice.opennmt.options.configuration import check_single_path, check_sizes
from onmt_lattice.opennmt.options.parsers import train_parser
from onmt_lattice.opennmt.options.ranges import RANGES
from onmt_lattice.tensor_file import read_file


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the checkpoint at ``path``, on the CPU, with everything in it that a model needs.

    Args:
        path: what :func:`~onmt_lattice.files.model_file` takes.

    Raises:
        UserError: if the file is missing, is damaged, or was not written by this package.
    """
    path = model_file(path)
    logger.info("Loading checkpoint from %s", path)
    tensors, values = read_file(path)
    with checkpoint_errors(path):
        if values["format"] > FORMAT:
            raise UserError(
                f"written by onmt_lattice {values['version']} in a newer format; this is "
                f"{__version__}, update it"
            )
        checkpoint = unpack(tensors, values)
        opt = check_options(checkpoint["opt"])
        checkpoint["vocab"] = make_fields(opt, checkpoint["vocab"])
        check_tensors(opt, checkpoint)
    return checkpoint


@contextlib.contextmanager
def checkpoint_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise the :class:`UserError` of the checkpoint at ``path`` for what the body finds wrong.

    Its digest vouches for what a training has saved; what else may be in it fails in any way.
    """
    try:
        yield
    except Exception as error:
        kind = "" if isinstance(error, UserError | RuntimeError) else f"{type(error).__name__}: "
        said = " ".join(f"{kind}{error}".split())
        raise UserError(f"checkpoint {path}: refused: {said}") from error


def check_options(opt: Namespace) -> Namespace:
    """Return the options of a model, as OpenNMT-py completes them, checked.

    What ``opt`` lacks is added to it, at its default.
    """
    held = vars(opt)
    for action in train_parser()._actions:
        if action.dest != "help":
            held.setdefault(action.dest, action.default)
    unset = {name for name, r in RANGES.items() if r.also == (-1,) and (held[name] or 1) <= 0}
    check_ranges({k: v for k, v in held.items() if k not in unset}, RANGES)
    completed = ArgumentParser.ckpt_model_opts(opt)
    check_single_path(completed)
    ArgumentParser.update_model_opts(completed)
    try:
        ArgumentParser.validate_model_opts(completed)
    except AssertionError as error:
        raise UserError(str(error)) from error
    check_sizes(completed)
    return completed


def check_loaded(model: Autoencoder, checkpoint: dict[str, Any]) -> None:
    """Raise :class:`UserError` unless model and checkpoint have the same keys.

    OpenNMT-py loads with ``strict=False``, which would leave a missing parameter at random.
    """
    check_names(set(model.state_dict()), {name for name, _ in named_tensors(checkpoint)})


def process_state(checkpoint: dict[str, Any], rank: int) -> dict[str, Any] | None:
    """Return what a checkpoint holds of one process alone; None if it had fewer of them.

    See :mod:`~onmt_lattice.opennmt.checkpoint.contents`.
    """
    processes: list[dict[str, Any]] = checkpoint[OUR_KEY]["processes"]
    return processes[rank] if rank < len(processes) else None


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
    opt: Namespace
    step: int
    rate_weight: float
    quantized: Quantized | None = None


def load_autoencoder(path: str | os.PathLike[str], gpu: int = -1) -> LoadedAutoencoder:
    """Return the model of the checkpoint at ``path``, on ``gpu`` or, below 0, on the CPU."""
    return build_autoencoder(path, load_checkpoint(path), gpu)


def build_autoencoder(
    path: str | os.PathLike[str], checkpoint: dict[str, Any], gpu: int = -1
) -> LoadedAutoencoder:
    """Return the model of the ``checkpoint`` that was read from ``path``."""
    if gpu >= torch.cuda.device_count():
        raise UserError(f"-gpu {gpu}: no such CUDA device was found; leave it out to use the CPU")
    opt = ArgumentParser.ckpt_model_opts(checkpoint["opt"])
    ArgumentParser.update_model_opts(opt)
    ArgumentParser.validate_model_opts(opt)
    opt.update_vocab = False
    fields = checkpoint["vocab"]
    with checkpoint_errors(path):
        model = onmt.model_builder.build_base_model(opt, fields, gpu >= 0, checkpoint, gpu)
        check_loaded(model, checkpoint)
        ours = checkpoint[OUR_KEY]
        step, weight = ours["step"], ours["rate_weight"]
        quantized = Quantized(**ours["quantized"]) if "quantized" in ours else None
        unpack_files(opt, ours["files"])
    return LoadedAutoencoder(model.eval(), fields, opt, step, weight, quantized)


def unpack_files(opt: Namespace, files: dict[str, Tensor]) -> None:
    """Point ``opt`` at copies of the embedded ``files``, removed when the process ends."""
    if not files:
        return
    folder = tempfile.mkdtemp(prefix="onmt_lattice_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in files.items():
        path = Path(folder, name)
        path.write_bytes(content.numpy().tobytes())
        setattr(opt, name, str(path))
