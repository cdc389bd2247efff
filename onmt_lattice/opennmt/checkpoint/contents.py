"""What a checkpoint is: in memory what OpenNMT-py's functions expect, in a file tensors and JSON.

In memory it is a dictionary. ``model``, ``generator``, ``vocab``, ``opt`` and ``optim`` are
OpenNMT-py's, but that the optimizer's state goes by the names of parameters. ``onmt_lattice`` holds
what this package adds, with a list ``processes`` of each process' own part:

================  =============================================================================
key of a process  what it is
================  =============================================================================
``random_state``  of its random generators; see :func:`random_state`
``unreported``    sums of the statistics that it has not reported yet, or None
``position``      where it is in its data, with the random state there; None if that is unknown
================  =============================================================================

The tensors of a file are ``model.NAME``, ``optimizer.PARAMETER.STATE``, ``raw.PARAMETER`` where the
model is a moving average, ``random.RANK.GENERATOR`` with ``random.RANK.position.GENERATOR``, and
``files.OPTION``; all else is JSON. Of tensors that share memory, such as tied embeddings, the first
is there, and ``aliases`` names it for the others. Options are those of YAML and the command line:
:func:`~.configuration.check_plain` lets nothing pass that JSON does not give back.
"""

from __future__ import annotations

import random
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from onmt.inputters.inputter import get_fields
from torch import Tensor
from torchtext.vocab import Vocab

from onmt_lattice.errors import UserError

FORMAT = 1
OUR_KEY = "onmt_lattice"
GENERATOR = "generator."
ALL_TRANSFORMS = "_all_transform"  # the one option that is a set
FILE_OPTIONS = ("src_subword_model", "tgt_subword_model", "src_subword_vocab", "tgt_subword_vocab")
POSITION = "position."

HOST = ("torch", "python", "numpy")  # random generators on no GPU


# ---- in a file -----------------------------------------------------------------------------------


def pack(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a ``checkpoint`` by their names in a file, and all else in it."""
    ours, optim = dict(checkpoint[OUR_KEY]), dict(checkpoint["optim"])
    optimizer = optim.pop("optimizer")
    model = dict(named_tensors(checkpoint))
    alike = aliases(model)
    parts: dict[str, dict[str, Tensor]] = {
        "model": {name: tensor for name, tensor in model.items() if name not in alike},
        "optimizer": {},
        "raw": ours.pop("raw", {}),
        "random": {},
        "files": ours.pop("files"),
    }
    numbers: dict[str, dict[str, Any]] = {}
    for parameter, state in optimizer["state"].items():
        numbers[parameter] = {k: v for k, v in state.items() if not isinstance(v, Tensor)}
        tensors = {f"{parameter}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
        parts["optimizer"] |= tensors
    processes = []
    for rank, process in enumerate(ours.pop("processes")):
        position = process.get("position")
        kept = {"": process["random_state"]}
        if position is not None:
            kept[POSITION] = position["random_state"]
            position = {k: v for k, v in position.items() if k != "random_state"}
        processes.append({"unreported": process.get("unreported"), "position": position})
        for place, state in kept.items():
            parts["random"] |= {f"{rank}.{place}{name}": tensor for name, tensor in state.items()}
    options = vars(checkpoint["opt"])
    vocabularies = {
        side: checkpoint["vocab"][side].base_field.vocab.itos for side in ("src", "tgt")
    }
    values = {
        **ours,
        "options": {k: sorted(v) if isinstance(v, set) else v for k, v in options.items()},
        "vocabulary": vocabularies["tgt"] if checkpoint["opt"].share_vocab else vocabularies,
        "aliases": alike,
        "optimizer": {**optim, "groups": optimizer["param_groups"], "numbers": numbers},
        "processes": processes,
    }
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, held in parts.items()
        for name, tensor in held.items()
    }
    return tensors, values


def unpack(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> dict[str, Any]:
    """Reverse :func:`pack`, but for the vocabulary, which stays a list."""
    ours = dict(values)
    parts: dict[str, dict[str, Any]]
    parts = {name: {} for name in ("model", "optimizer", "raw", "random", "files")}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    if foreign := set(parts["files"]) - set(FILE_OPTIONS):
        raise UserError(f"it would write a file {sorted(foreign)[0][:40]!r}")
    model = parts["model"]
    model |= {name: model[first] for name, first in ours.pop("aliases").items()}
    optim = dict(ours.pop("optimizer"))
    state = {parameter: dict(numbers) for parameter, numbers in optim.pop("numbers").items()}
    for name, tensor in parts["optimizer"].items():
        parameter, _, kind = name.rpartition(".")
        state[parameter][kind] = tensor
    optim["optimizer"] = {"state": state, "param_groups": optim.pop("groups")}
    for process in ours["processes"]:
        process["random_state"] = {}
        if process["position"] is not None:
            process["position"]["random_state"] = {}
    for name, tensor in parts["random"].items():
        rank, _, rest = name.partition(".")
        process, generator = ours["processes"][int(rank)], rest.removeprefix(POSITION)
        owner = process if generator == rest else process["position"] or {}
        owner["random_state"][generator] = tensor
    opt = Namespace(**ours.pop("options"))
    if ALL_TRANSFORMS in opt:
        setattr(opt, ALL_TRANSFORMS, set(getattr(opt, ALL_TRANSFORMS)))
    vocabulary = ours.pop("vocabulary")
    if parts["raw"]:
        ours["raw"] = parts["raw"]
    return {
        "model": {k: v for k, v in model.items() if not k.startswith(GENERATOR)},
        "generator": {
            k.removeprefix(GENERATOR): v for k, v in model.items() if k.startswith(GENERATOR)
        },
        "vocab": vocabulary,
        "opt": opt,
        "optim": optim,
        OUR_KEY: {**ours, "files": parts["files"]},
    }


def named_tensors(checkpoint: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a model under the names that they have in it."""
    yield from checkpoint["model"].items()
    yield from ((GENERATOR + name, tensor) for name, tensor in checkpoint["generator"].items())


def aliases(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names of tensors that are another one before them, with the name of that one."""
    first: dict[Any, str] = {}
    found = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            memory = tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
            if (before := first.setdefault(memory, name)) != name:
                found[name] = before
    return found


def make_fields(opt: Namespace, tokens: list[str] | dict[str, list[str]]) -> dict[str, Any]:
    """Return OpenNMT-py's fields with the ``tokens`` of their vocabulary, by their indices.

    That is one for both sides, or one for each.
    """
    cuts = {f"{side}_truncate": getattr(opt, f"{side}_seq_length_trunc") for side in ("src", "tgt")}
    fields: dict[str, Any] = get_fields("text", None, None, **cuts)
    shared = None if isinstance(tokens, dict) else Vocab(Counter(), specials=tokens)
    for side in ("src", "tgt"):
        own = Vocab(Counter(), specials=tokens[side]) if isinstance(tokens, dict) else shared
        fields[side].base_field.vocab = own
    return fields


def embedded_files(opt: Namespace) -> dict[str, Tensor]:
    """Return the bytes (uint8) of each file that the transforms of ``opt`` read, by option."""
    paths = {name: Path(getattr(opt, name, None) or "") for name in FILE_OPTIONS}
    return {
        name: torch.from_numpy(np.fromfile(path, dtype=np.uint8))
        for name, path in paths.items()
        if path.is_file()
    }


# ---- random state, so that a resumed run is the same run -----------------------------------------


def random_state() -> dict[str, Tensor]:
    """Return the state of every random generator, each as a tensor."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {**host_random_state(), **{f"cuda.{number}": s for number, s in enumerate(cuda)}}


def host_random_state() -> dict[str, Tensor]:
    """Return the state of the random generators that are on no GPU."""
    _, keys, *rest = cast(tuple, np.random.get_state(legacy=True))
    numpy = np.concatenate([keys, np.array(rest, dtype=np.float64)])  # which holds 32 bits exactly
    return {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(random.getstate()[1]),
        "numpy": torch.from_numpy(numpy),
    }


def set_random_state(state: dict[str, Tensor]) -> None:
    """Set the random generators to a state of :func:`random_state` or of those on no GPU."""
    torch.set_rng_state(state["torch"])
    random.setstate((3, tuple(state["python"].tolist()), None))
    *keys, position, has_gauss, cached = state["numpy"].tolist()
    words = np.array(keys).astype(np.uint32)
    np.random.set_state(("MT19937", words, int(position), int(has_gauss), cached))
    cuda = [state[f"cuda.{number}"] for number in range(len(state) - len(HOST))]
    if cuda and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
