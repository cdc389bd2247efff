"""What the values of a checkpoint must be: its options, its vocabulary, and where training was.

Damage is found by the digest of its file. These checks are of what a program has written.
"""

from __future__ import annotations

import argparse
import random
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from onmt.utils.earlystopping import PatienceEnum
from onmt.utils.parse import ArgumentParser
from torch import Tensor

from onmt_lattice.config import check_ranges
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Quantized, revive
from onmt_lattice.opennmt.checkpoint.contents import (
    FILE_OPTIONS,
    HOST,
    numpy_state,
    python_state,
)
from onmt_lattice.opennmt.model.autoencoder import OF_SOURCES, SPECIAL
from onmt_lattice.opennmt.options.configuration import check_single_path, check_sizes
from onmt_lattice.opennmt.options.parsers import train_parser
from onmt_lattice.opennmt.options.ranges import RANGES

KWARGS = ("src_onmttok_kwargs", "tgt_onmttok_kwargs")  # OpenNMT-py makes dictionaries of them


def require(holds: object, what: str) -> None:
    """Raise :class:`UserError` with the words of ``what`` unless it ``holds``."""
    if not holds:
        raise UserError(what)


# ---- plain values --------------------------------------------------------------------------------


def check_ours(ours: Mapping[str, Any], bucket_size: int) -> None:
    """Check what this package adds to what OpenNMT-py keeps.

    Args:
        ours: what it is, of the kinds that a file has.
        bucket_size: the most batches of a bucket.

    Raises:
        UserError: naming what is wrong.
    """
    for name, content in ours["files"].items():
        require(name in FILE_OPTIONS, f"it would write a file {name[:40]!r}")
        require(content.dtype == torch.uint8 and content.dim() == 1, "its files are not of bytes")
    require(ours["processes"], "its processes are none")
    for process in ours["processes"]:
        position = process["position"] or {"taken": 0, "random_state": process["random_state"]}
        for state in (process["random_state"], position["random_state"]):
            require(_is_random_state(state), "its random state is not one")
        require(position["taken"] <= bucket_size, "its position is not in a bucket")
    patience = ours["patience"]
    status = patience and patience["status"]
    require(not patience or status in PatienceEnum.__members__, "its patience is of no status")
    try:
        revive(Quantized | None, ours.get("quantized"))
    except TypeError as error:
        raise UserError(f"its quantization is not of that kind: {error}") from error


def _is_random_state(state: Mapping[str, Tensor]) -> bool:
    """Return whether generators that nothing else uses take the states."""
    cuda = [f"cuda.{number}" for number in range(len(state) - len(HOST))]
    if set(state) != {*HOST, *cuda} or any(state[name].dtype != torch.uint8 for name in cuda):
        return False
    try:
        torch.Generator().set_state(state["torch"])
        random.Random().setstate(python_state(state))
        np.random.RandomState(0).set_state(numpy_state(state))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return False
    return True


def check_vocabulary(tokens: list[str] | dict[str, list[str]], shared: bool) -> None:
    """Check that ``tokens`` are those of a vocabulary, or of one for each side, by their indices.

    Raises:
        UserError: naming what is wrong.
    """
    require(isinstance(tokens, list) == shared, "its sides do not share their vocabulary as said")
    for side, each in tokens.items() if isinstance(tokens, dict) else [("tgt", tokens)]:
        require(len(set(each)) == len(each), "its vocabulary has a token twice")
        missing = (SPECIAL if side == "tgt" else OF_SOURCES) - set(each)
        require(not missing, f"its vocabulary lacks {sorted(missing)}")


# ---- options -------------------------------------------------------------------------------------


def check_options(opt: Namespace) -> Namespace:
    """Return the options of a model, as OpenNMT-py completes them, checked.

    What ``opt`` lacks is added to it, at its default.

    Raises:
        UserError: naming the first that is of the wrong type or out of its range.
    """
    held = vars(opt)
    for action in train_parser()._actions:
        if action.dest == "help":
            continue
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
    if action.dest in ("data", "brnn"):  # data is checked by itself
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
