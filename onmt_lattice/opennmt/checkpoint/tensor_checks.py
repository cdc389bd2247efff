"""What the tensors of a checkpoint must be: those of the model, and the optimizer's, by options."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch
from onmt.model_builder import build_decoder_with_embeddings, build_src_emb
from onmt.utils.optimizers import build_torch_optimizer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint.checks import require
from onmt_lattice.opennmt.checkpoint.contents import fits, named_tensors
from onmt_lattice.opennmt.model.autoencoder import renamed, trainable
from onmt_lattice.opennmt.model.encoder import BottleneckEncoder

BOTTLENECK = "encoder.bottleneck."
PLACES = f"{BOTTLENECK}channel.places"
STAND_IN = {"lattice": "gaussian"}  # with the same maps, and no tables to compute
PADDED = "channel.log_prior"  # a lattice's, which is longer than the stand-in's


def check_numbers(checkpoint: Mapping[str, Any]) -> None:
    """Check that the tensors of a model hold finite numbers.

    Raises:
        UserError: naming the first that does not.
    """
    if broken := not_finite(checkpoint):
        raise UserError(f"{broken[0]} holds numbers that are not finite; take an earlier one")


def not_finite(checkpoint: Mapping[str, Any]) -> list[str]:
    """Return the names of the weights that hold numbers which are not finite."""
    return [name for name, tensor in named_tensors(checkpoint) if not tensor.isfinite().all()]


def check_tensors(opt: Namespace, checkpoint: Mapping[str, Any]) -> None:
    """Check the tensors of a model against its options ``opt`` without reserving memory for it.

    Raises:
        UserError: naming the first that is missing, too many, or of another shape or type.
    """
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
        require(
            found[name].is_floating_point() == tensor.is_floating_point(),
            f"{name} holds {found[name].dtype}, where {tensor.dtype} is expected",
        )
    if PLACES in found:
        places = found[PLACES].flatten()
        require(
            places.dtype == torch.int64 and places.sort().values.equal(torch.arange(len(places))),
            f"{PLACES} is no order of places",
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
            encoder = BottleneckEncoder.from_opt(opt, embeddings)
            decoder, _ = build_decoder_with_embeddings(
                opt, fields, share_embeddings=opt.share_embeddings, src_emb=embeddings
            )
            generator = nn.Linear(opt.dec_rnn_size, len(fields["tgt"].base_field.vocab))
    except (AssertionError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"its options are of no model: {error}") from error
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    model["generator"] = nn.Sequential(generator)
    state = model.state_dict()
    if opt.bottleneck != bottleneck:
        del state[BOTTLENECK + PADDED]
    return state


# ---- what training resumes from ------------------------------------------------------------------


def check_optimizer(optim: Any, model: nn.Module, opt: Namespace | None) -> None:
    """Check the state of an optimizer against what that of ``opt`` keeps for the ``model``.

    Without ``opt`` nothing of it is used.

    Raises:
        UserError: if it is not of that kind.
    """
    if opt is not None:
        kept = _kept(optim["optimizer"], _after_a_step(model, opt))
        require(kept, "the state of its optimizer is not that of the model's")


def _after_a_step(model: nn.Module, opt: Namespace) -> dict[str, Any]:
    """Return the state of an optimizer of ``opt`` after a step without gradient."""
    twin, names = nn.Module(), trainable(model)
    for number, name in enumerate(names):
        parameter = nn.Parameter(torch.zeros(model.get_parameter(name).shape))
        parameter.grad = torch.zeros(parameter.shape)
        twin.register_parameter(str(number), parameter)
    optimizer = build_torch_optimizer(twin, opt)
    for group in optimizer.param_groups:
        group["lr"] = opt.learning_rate  # as OpenNMT-py does before a step
    optimizer.step()
    return renamed(optimizer.state_dict(), dict(enumerate(names)))


def _kept(held: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Return whether the state ``held`` is of the kind ``expected``; parameters may have none."""
    states, groups = held["state"], held["param_groups"]
    return (
        set(states) <= set(expected["state"])
        and all(_alike(state, expected["state"][name]) for name, state in states.items())
        and all(float(state.get("step", 0)) >= 0 for state in states.values())
        and len(groups) == len(expected["param_groups"])
        and all(
            group["params"] == kind["params"]
            and {k for k, v in kind.items() if not isinstance(v, bool | None)} <= set(group)
            and _alike({**kind, **group}, {**group, **kind})
            for group, kind in zip(groups, expected["param_groups"], strict=True)
        )
    )


def _alike(value: Any, expected: Any) -> bool:
    """Return whether two values are of one kind, their tensors of one shape."""
    if isinstance(expected, Tensor):
        return isinstance(value, Tensor) and value.shape == expected.shape
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and set(value) == set(expected)
            and all(_alike(value[name], expected[name]) for name in expected)
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(expected)
            and all(map(_alike, value, expected))
        )
    if isinstance(expected, bool | None):
        return isinstance(value, bool | None)
    return fits(value, float if isinstance(expected, int | float) else type(expected))


def check_raw(raw: Mapping[str, Tensor] | None, model: nn.Module) -> None:
    """Check the parameters of training whose moving average the ``model`` holds.

    Raises:
        UserError: if there are some, and they are not the model's.
    """
    shapes = {name: (p.shape, p.is_floating_point()) for name, p in model.named_parameters()}
    fits = raw is None or shapes == {k: (t.shape, t.is_floating_point()) for k, t in raw.items()}
    require(fits, "its raw parameters are not those of the model")
