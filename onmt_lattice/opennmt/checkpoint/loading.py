"""Loading checkpoints, and the models in them."""

from __future__ import annotations

import atexit
import contextlib
import copy
import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import onmt.model_builder
import torch
from onmt.utils.logging import logger
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from onmt_lattice import __version__
from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.evaluation.result import Quantized
from onmt_lattice.files import model_file
from onmt_lattice.opennmt.checkpoint.contents import (
    FORMAT,
    PLUGIN_KEY,
    make_fields,
    named_tensors,
    unpack,
)
from onmt_lattice.opennmt.model.autoencoder import Autoencoder, without_positions
from onmt_lattice.opennmt.model.encoder import ENCODERS
from onmt_lattice.opennmt.options.configuration import check_model_options
from onmt_lattice.tensor_file import read_file

BOTTLENECK = "encoder.bottleneck."
STAND_IN = {"lattice": "gaussian"}  # with the same maps, and no tables to compute
PADDED = "channel.log_prior"  # longer in a lattice's bottleneck than in the stand-in's


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the checkpoint at ``path``, see :func:`~onmt_lattice.files.model_file`, on the CPU.

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
        opt = checkpoint["opt"]
        check_model_options(opt)
        checkpoint["vocab"] = make_fields(checkpoint["vocab"])
        check_tensors(opt, checkpoint)
    return checkpoint


@contextlib.contextmanager
def checkpoint_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn every error of the body into a :class:`UserError` about the checkpoint at ``path``.

    A checkpoint that was not saved by training can have a valid digest, and fail in any way.
    """
    try:
        yield
    except Exception as error:
        name = "" if isinstance(error, UserError | RuntimeError) else f"{type(error).__name__}: "
        message = " ".join(f"{name}{error}".split())
        raise UserError(f"checkpoint {path}: refused: {message}") from error


def check_loaded(model: Autoencoder, checkpoint: dict[str, Any]) -> None:
    """Raise :class:`UserError` unless model and checkpoint have the same keys.

    OpenNMT-py loads with ``strict=False``, which would leave a missing parameter at random.
    """
    _check_names(set(model.state_dict()), {name for name, _ in named_tensors(checkpoint)})


def process_state(checkpoint: dict[str, Any], rank: int) -> dict[str, Any] | None:
    """Return the state of one process, see :mod:`~.contents`; None if there were fewer of them."""
    processes: list[dict[str, Any]] = checkpoint[PLUGIN_KEY]["processes"]
    return processes[rank] if rank < len(processes) else None


class LoadedAutoencoder(NamedTuple):
    """A model ready to evaluate.

    Attributes:
        model: the autoencoder, in evaluation mode.
        fields: OpenNMT-py's fields, with the vocabulary.
        opt: the options of its training.
        step: training steps done.
        rate_weight: λ at that step.
        quantized: the costs of its lattice, for a model of ``quantize``.
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
    opt = copy.copy(checkpoint["opt"])
    opt.update_vocab = False
    fields = checkpoint["vocab"]
    with checkpoint_errors(path):
        model = onmt.model_builder.build_base_model(opt, fields, gpu >= 0, checkpoint, gpu)
        check_loaded(model, checkpoint)
        state = checkpoint[PLUGIN_KEY]
        step, weight = state["step"], state["rate_weight"]
        quantized = Quantized(**state["quantized"]) if "quantized" in state else None
        _unpack_files(opt, state["files"])
    return LoadedAutoencoder(model.eval(), fields, opt, step, weight, quantized)


def _unpack_files(opt: Namespace, files: dict[str, Tensor]) -> None:
    """Point ``opt`` at copies of the embedded ``files``, removed when the process ends."""
    if not files:
        return
    folder = tempfile.mkdtemp(prefix="onmt_lattice_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in files.items():
        path = Path(folder, name)
        path.write_bytes(content.numpy().tobytes())
        setattr(opt, name, str(path))


# ---- tensors, checked without memory for the model -----------------------------------------------


def check_tensors(opt: Namespace, checkpoint: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for a tensor that a model of options ``opt`` has in another shape.

    A tensor that is missing, or that only the checkpoint has, is named as well.
    """
    tensors = dict(named_tensors(checkpoint))
    expected = _expected_tensors(opt, checkpoint["vocab"])
    optional = {name for name in tensors if name.startswith(BOTTLENECK)} - set(expected)
    _check_names(set(expected), set(tensors) - optional)
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise UserError(
                f"size mismatch for {name}: {_shape(tensors[name])}, where its options declare "
                f"{_shape(tensor)}"
            )


def _check_names(expected: set[str], names: set[str]) -> None:
    if expected != names:
        raise UserError(
            f"does not fit the model: missing {sorted(expected - names)}, "
            f"unexpected {sorted(names - expected)}; if a development version has saved it, train "
            "or quantize again"
        )


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


class _WithoutNormalNumbers(TorchFunctionMode):
    """Draws no normal numbers; without memory torch would import its compiler to do so."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """See :class:`TorchFunctionMode`."""
        if function in (nn.init.normal_, Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def _expected_tensors(opt: Namespace, fields: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors, without memory, of a model of options ``opt``.

    Of a lattice's bottleneck, only those that the Gaussian's has too.
    """
    opt = copy.copy(opt)
    bottleneck = opt.bottleneck
    opt.bottleneck = STAND_IN.get(bottleneck, bottleneck)
    if opt.bottleneck != bottleneck:
        opt.lattice = opt.lattice_code = None
    invalid = AssertionError, ValueError, TypeError, RuntimeError
    with error_prefix("its options are not those of a model", invalid):
        with torch.device("meta"), _WithoutNormalNumbers():
            embeddings = onmt.model_builder.build_src_emb(opt, fields)
            encoder = ENCODERS[opt.encoder_type].from_opt(opt, embeddings)
            decoder, _ = onmt.model_builder.build_decoder_with_embeddings(
                opt, fields, share_embeddings=opt.share_embeddings, src_emb=embeddings
            )
            generator = nn.Linear(opt.dec_rnn_size, len(fields["tgt"].base_field.vocab))
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    model["generator"] = nn.Sequential(generator)
    state = without_positions(model).state_dict()
    if opt.bottleneck != bottleneck:
        del state[BOTTLENECK + PADDED]
    return state
