"""What the tensors of a checkpoint must be: those of the model that its options describe."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch
from onmt.model_builder import build_decoder_with_embeddings, build_src_emb
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint.contents import named_tensors
from onmt_lattice.opennmt.model.autoencoder import without_positions
from onmt_lattice.opennmt.model.encoder import ENCODERS

BOTTLENECK = "encoder.bottleneck."
STAND_IN = {"lattice": "gaussian"}  # with the same maps, and no tables to compute
PADDED = "channel.log_prior"  # a lattice's, which is longer than the stand-in's


def not_finite(checkpoint: Mapping[str, Any]) -> list[str]:
    """Return the names of the weights that hold numbers which are not finite."""
    return [name for name, tensor in named_tensors(checkpoint) if not tensor.isfinite().all()]


def check_tensors(opt: Namespace, checkpoint: Mapping[str, Any]) -> None:
    """Check the tensors of a model against its options ``opt`` without reserving memory for it."""
    found = dict(named_tensors(checkpoint))
    expected = _declared(opt, checkpoint["vocab"])
    ours = {name for name in found if name.startswith(BOTTLENECK)}
    check_names(set(expected), set(found) - (ours - set(expected)))
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise UserError(
                f"size mismatch for {name}: {_shape(found[name])}, where its options declare "
                f"{_shape(tensor)}"
            )


def check_names(expected: set[str], found: set[str]) -> None:
    """Raise :class:`UserError` unless the names of the tensors ``found`` are those ``expected``."""
    if expected != found:
        raise UserError(
            f"does not fit the model: missing {sorted(expected - found)}, "
            f"unexpected {sorted(found - expected)}"
        )


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


class _Unfilled(TorchFunctionMode):
    """Leaves out normal numbers, for which torch imports its compiler where there is no memory."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """See :class:`TorchFunctionMode`."""
        if function in (nn.init.normal_, Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def _declared(opt: Namespace, fields: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors, without memory, that a model of options ``opt`` has.

    Of a lattice's bottleneck those that the Gaussian's has too.
    """
    opt = copy.copy(opt)
    bottleneck = opt.bottleneck
    opt.bottleneck = STAND_IN.get(bottleneck, bottleneck)
    if opt.bottleneck != bottleneck:
        opt.lattice = opt.lattice_code = None
    if not hasattr(opt, "attention_dropout"):
        opt.attention_dropout = opt.dropout
    try:
        with torch.device("meta"), _Unfilled():
            embeddings = build_src_emb(opt, fields)
            encoder = ENCODERS[opt.encoder_type].from_opt(opt, embeddings)
            decoder, _ = build_decoder_with_embeddings(
                opt, fields, share_embeddings=opt.share_embeddings, src_emb=embeddings
            )
            generator = nn.Linear(opt.dec_rnn_size, len(fields["tgt"].base_field.vocab))
    except (AssertionError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"its options are of no model: {error}") from error
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    model["generator"] = nn.Sequential(generator)
    state = without_positions(model).state_dict()
    if opt.bottleneck != bottleneck:
        del state[BOTTLENECK + PADDED]
    return state
