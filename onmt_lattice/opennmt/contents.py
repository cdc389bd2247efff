"""What a checkpoint must hold: values of their types, and the tensors that its options declare."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import math
import random
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from onmt.inputters.inputter import get_fields
from onmt.inputters.text_dataset import TextMultiField
from onmt.model_builder import build_decoder_with_embeddings, build_src_emb
from onmt.utils.earlystopping import PatienceEnum
from onmt.utils.optimizers import build_torch_optimizer
from onmt.utils.parse import ArgumentParser
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation import Quantized
from onmt_lattice.opennmt.encoder import BottleneckEncoder
from onmt_lattice.opennmt.options import train_parser
from onmt_lattice.opennmt.patience import COUNTS
from onmt_lattice.opennmt.ranges import RANGES
from onmt_lattice.opennmt.settings import check_single_path, check_sizes
from onmt_lattice.opennmt.statistics import SUMS
from onmt_lattice.ranges import COUNT, Range, check_ranges

BOTTLENECK = "encoder.bottleneck."
PLACES = f"{BOTTLENECK}channel.places"
STEPS = Range(0, COUNT.high)
STAND_IN = {"lattice": "gaussian"}  # with the same maps, and no tables to compute
PADDED = "channel.log_prior"  # a lattice's, which is longer than the stand-in's
KWARGS = ("src_onmttok_kwargs", "tgt_onmttok_kwargs")  # OpenNMT-py makes dictionaries of them


def require(holds: object, what: str) -> None:
    """Raise :class:`UserError` with the words of ``what`` unless it ``holds``."""
    if not holds:
        raise UserError(what)


# ---- plain values --------------------------------------------------------------------------------


def check_ours(ours: Mapping[str, Any], bucket_size: int) -> None:
    """Check the types of what this package adds to OpenNMT-py's checkpoints.

    Args:
        ours: what it is.
        bucket_size: the most batches of a bucket.

    Raises:
        UserError: naming what is wrong.
    """
    require(isinstance(ours["version"], str), "its version is no text")
    for name in ("step", "batches_taken"):
        require(_counts(ours[name]), f"its {name} is no number of steps")
    for name, least in (("rate_weight", 0.0), ("best", -math.inf)):
        value = ours.get(name, 0.0)
        require(_number(value) and value >= least, f"its {name} is no number of that kind")
    files = ours["files"]
    require(
        isinstance(files, dict) and all(_bytes(content) for content in files.values()),
        "its files hold no bytes",
    )
    others = ours.get("others", [])
    require(isinstance(others, list), "what it says of other processes is not of that kind")
    for share in (ours, *others):
        require(isinstance(share, dict), "what it says of other processes is not of that kind")
        _check_share(share, bucket_size)
    if (patience := ours.get("patience")) is not None:
        _check_patience(patience)
    if "quantized" in ours:
        _check_quantized(ours["quantized"])


def _number(value: object) -> bool:
    return type(value) in (int, float) and not math.isnan(value)  # type: ignore[arg-type]


def _counts(value: object) -> bool:
    return type(value) is int and value in STEPS


def _bytes(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.uint8 and value.dim() == 1


def _check_share(share: Mapping[str, Any], bucket_size: int) -> None:
    """Check what it holds of one process; see :func:`share_of` of the checkpoint."""
    require(_is_random_state(share.get("random_state")), "its random state is none")
    if (sums := share.get("unreported")) is not None:
        require(
            isinstance(sums, dict) and set(sums) == set(SUMS) and all(map(_number, sums.values())),
            "its sums of what was not reported yet are not numbers",
        )
    if (position := share.get("position")) is not None:
        require(
            isinstance(position, dict)
            and all(_whole(position.get(name)) for name in ("turn", "taken", "stride"))
            and position["taken"] <= bucket_size
            and isinstance(position.get("texts"), dict)
            and all(map(_is_place, position["texts"].values()))
            and _is_random_state(position.get("random_state")),
            "its position in the texts is none",
        )


def _is_place(place: object) -> bool:
    names = ("pass", "lines", "begin", "check", "size")
    return isinstance(place, dict) and all(_whole(place.get(name)) for name in names)


def _check_patience(patience: Any) -> None:
    require(
        isinstance(patience, dict)
        and patience.get("status") in list(PatienceEnum.__members__)
        and isinstance(patience.get("scores"), dict)
        and all(map(_number, patience["scores"].values()))
        and all(_whole(patience.get(name)) for name in COUNTS),
        "what it says of its patience is not of that kind",
    )


def _whole(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _is_random_state(state: Any) -> bool:
    """Return whether generators that nothing else uses take the states."""
    try:
        cuda = state.get("cuda", [])
        fits = isinstance(cuda, list) and all(map(_bytes, [state["torch"], *cuda]))
        torch.Generator().set_state(state["torch"])
        random.Random().setstate((3, tuple(state["python"]), None))
        name, keys, *rest = state["numpy"]
        np.random.RandomState(0).set_state((name, np.array(keys, dtype=np.uint32), *rest))
    except (AttributeError, TypeError, ValueError, LookupError, RuntimeError, OverflowError):
        return False
    return fits


def _check_quantized(quantized: Any) -> None:
    types = {field.name: field.type for field in dataclasses.fields(Quantized)}
    require(
        isinstance(quantized, dict)
        and set(quantized) == set(types)
        and all(
            _counts(quantized[name]) and quantized[name] > 0
            if kind == "int"
            else isinstance(quantized[name], str)
            if kind == "str"
            else _number(quantized[name]) and math.isfinite(quantized[name])
            for name, kind in types.items()
        ),
        "what it says of its quantization is not of that kind",
    )


# ---- vocabulary ----------------------------------------------------------------------------------


def check_vocabulary(fields: Any) -> None:
    """Check that ``fields`` are those that OpenNMT-py makes, with one vocabulary for both sides.

    Raises:
        UserError: naming what is wrong.
    """
    expected = get_fields("text", None, None)
    require(
        isinstance(fields, dict)
        and set(fields) == set(expected)
        and _settings(fields["indices"]) == _settings(expected["indices"]),
        "its vocabulary is not of OpenNMT-py's fields",
    )
    for side in ("src", "tgt"):
        require(
            _of_one_field(fields[side], side)
            and _settings(fields[side].base_field) == _settings(expected[side].base_field),
            f"its vocabulary's field {side} is not OpenNMT-py's",
        )
    field = fields["tgt"].base_field
    tokens = _tokens(field)
    special = {field.pad_token, field.unk_token, field.init_token, field.eos_token}
    require(special <= set(tokens), f"its vocabulary lacks {sorted(special - set(tokens))}")
    require(tokens == _tokens(fields["src"].base_field), "its vocabulary differs between sides")


def _of_one_field(field: Any, side: str) -> bool:
    held = getattr(field, "fields", None)
    return (
        type(field) is TextMultiField
        and isinstance(held, list)
        and len(held) == 1
        and isinstance(held[0], tuple)
        and len(held[0]) == 2
        and held[0][0] == side
    )


def _settings(field: Any) -> dict[str, Any]:
    """Return the attributes of a field but for what differs from model to model."""
    held = dict(vars(field)) if hasattr(field, "__dict__") else {}
    tokenize = held.pop("tokenize", None)
    if hasattr(tokenize, "keywords"):
        cut = tokenize.keywords.get("truncate")
        fits = cut is None or (type(cut) is int and cut in COUNT)
        tokenize = tokenize.func, {**tokenize.keywords, "truncate": None} if fits else cut
        held.pop("tokenizer_args", None)
    return {"tokenize": tokenize, **{k: v for k, v in held.items() if k != "vocab"}}


def _tokens(field: Any) -> list[str]:
    """Return the tokens of the vocabulary of a field, by their indices."""
    vocabulary = vars(field).get("vocab")
    held = {} if vocabulary is None else getattr(vocabulary, "__dict__", {})
    tokens, indices = held.get("itos"), held.get("stoi")
    require(
        isinstance(tokens, list)
        and all(type(token) is str for token in tokens)
        and isinstance(indices, dict)
        and isinstance(held.get("freqs", {}), dict),
        "its vocabulary is no list of tokens",
    )
    assert tokens is not None and indices is not None
    unknown = indices.get(field.unk_token)  # also of tokens that were looked up in vain
    require(
        len(set(tokens)) == len(tokens)
        and all(indices.get(token) == index for index, token in enumerate(tokens))
        and all(type(index) is int for index in indices.values())
        and all(indices[token] == unknown for token in set(indices) - set(tokens)),
        "its vocabulary does not number its tokens",
    )
    return tokens


# ---- options -------------------------------------------------------------------------------------


def check_options(opt: Any) -> Namespace:
    """Return the options of a model, as OpenNMT-py completes them, checked.

    What an earlier version did not have is added to ``opt``, at its default.

    Raises:
        UserError: naming the first that is of the wrong type or out of its range.
    """
    require(type(opt) is Namespace, "its options are none")
    held = vars(opt)
    for action in train_parser()._actions:
        if not _fits(action, held.setdefault(action.dest, action.default)):
            said = repr(held[action.dest])
            raise UserError(f"-{action.dest} {said[:40]}: not a value that the option takes")
    unset = {name for name, r in RANGES.items() if r.also == (-1,) and (held.get(name) or 1) <= 0}
    check_ranges({k: v for k, v in held.items() if k not in unset}, RANGES)
    _check_corpora(held.get("data"))
    completed = ArgumentParser.ckpt_model_opts(opt)
    check_single_path(completed)
    ArgumentParser.update_model_opts(completed)
    try:
        ArgumentParser.validate_model_opts(completed)
    except AssertionError as error:
        raise UserError(str(error)) from error
    check_sizes(completed)
    return completed


def _fits(action: argparse.Action, value: Any) -> bool:
    """Return whether the parser could have made ``value``."""
    if action.dest in ("help", "data", "brnn"):  # data is checked by itself
        return True
    if action.dest == "log_file_level":  # OpenNMT-py makes a number of its name
        return isinstance(value, str | int)
    if value is None:
        return action.default is None
    if action.dest in KWARGS:
        return isinstance(value, str | dict)
    if action.nargs == 0 or action.type is bool:
        return isinstance(value, bool)
    if action.nargs is None:
        return _is_one(action, value)
    return isinstance(value, list) and all(_is_one(action, item) for item in value)


def _is_one(action: argparse.Action, value: Any) -> bool:
    kinds: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float)}
    if type(value) not in kinds.get(action.type, (str,)):
        return False
    named = action.choices is not None and action.dest not in ("bottleneck", "transforms")
    return value in action.choices if named and action.choices is not None else True


def _check_corpora(data: Any) -> None:
    require(
        isinstance(data, dict)
        and data
        and all(
            isinstance(corpus, dict)
            and isinstance(corpus.get("transforms"), list)
            and all(isinstance(name, str) for name in corpus["transforms"])
            for corpus in data.values()
        ),
        "its options name no corpora",
    )


# ---- tensors -------------------------------------------------------------------------------------


def check_are_tensors(checkpoint: Mapping[str, Any]) -> None:
    """Check that a model and its generator are dictionaries of tensors, of finite numbers.

    Raises:
        UserError: if they are not.
    """
    for part in ("model", "generator"):
        tensors = checkpoint[part]
        require(
            isinstance(tensors, dict)
            and all(isinstance(name, str) for name in tensors)
            and all(isinstance(tensor, Tensor) for tensor in tensors.values()),
            f"its {part} is no dictionary of tensors",
        )
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


def named_tensors(checkpoint: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a model under the names that they have in it."""
    yield from checkpoint["model"].items()
    yield from ((f"generator.{name}", t) for name, t in checkpoint["generator"].items())


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


# ---- what training goes on from ------------------------------------------------------------------


def check_optimizer(optim: Any, model: nn.Module, opt: Namespace | None) -> None:
    """Check the state of an optimizer against what that of ``opt`` keeps for the ``model``.

    Without ``opt`` nothing but its steps is gone on from.

    Raises:
        UserError: if it is not of that kind.
    """
    held = optim.get("optimizer") if isinstance(optim, dict) else None
    fits = isinstance(optim, dict) and all(
        _counts(optim.get(name)) for name in ("training_step", "decay_step")
    )
    if fits and opt is not None and opt.optim != "sparseadam":  # whose states are two
        fits = isinstance(held, dict) and _kept(held, _after_a_step(model, opt))
    require(fits, "the state of its optimizer is not that of the model's")


def _after_a_step(model: nn.Module, opt: Namespace) -> dict[str, Any]:
    """Return the state of an optimizer of ``opt`` after a step without gradient."""
    twin = nn.Module()
    for name, parameter in model.named_parameters():
        like = nn.Parameter(torch.zeros(parameter.shape), parameter.requires_grad)
        like.grad = torch.zeros(parameter.shape)
        twin.register_parameter(name.replace(".", "_"), like)
    optimizer = build_torch_optimizer(twin, opt)
    for group in optimizer.param_groups:
        group["lr"] = opt.learning_rate  # as OpenNMT-py does before a step
    optimizer.step()
    return optimizer.state_dict()


def _kept(held: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Return whether the state ``held`` is of the kind ``expected``; parameters may have none."""
    states, groups = held.get("state"), held.get("param_groups")
    return (
        isinstance(states, dict)
        and set(states) <= set(expected["state"])
        and all(_alike(state, expected["state"][place]) for place, state in states.items())
        and all(float(state.get("step", 0)) >= 0 for state in states.values())
        and isinstance(groups, list)
        and len(groups) == len(expected["param_groups"])
        and all(
            isinstance(group, dict)
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
    return _number(value) if isinstance(expected, int | float) else type(value) is type(expected)


def check_raw(raw: Any, model: nn.Module) -> None:
    """Check the parameters of training whose moving average the ``model`` holds.

    Raises:
        UserError: if there are some, and they are not the model's.
    """
    shapes = [parameter.shape for parameter in model.parameters()]
    fits = raw is None or (
        isinstance(raw, list)
        and all(isinstance(t, Tensor) and t.is_floating_point() for t in raw)
        and [t.shape for t in raw] == shapes
    )
    require(fits, "its raw parameters are not those of the model")
