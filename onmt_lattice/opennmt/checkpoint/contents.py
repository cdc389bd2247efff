"""The contents of a checkpoint: in memory OpenNMT-py's dictionary, in a file tensors and JSON.

In memory ``model``, ``generator``, ``vocab``, ``opt`` and ``optim`` are OpenNMT-py's, except that
the optimizer's state is keyed by the names of parameters. ``onmt_lattice`` has what this package
adds, with a list ``processes`` of the state of each process:

================  =============================================================================
key of a process  value
================  =============================================================================
``random_state``  of its random generators; see :func:`random_state`
``unreported``    sums of the statistics that it has not reported yet, or None
``position``      in its data, with the random state there; None if it is unknown
================  =============================================================================

The tensors of a file are ``model.NAME``, ``optimizer.PARAMETER.STATE``, ``raw.PARAMETER`` where the
model is a moving average, ``random.RANK.GENERATOR``, ``random.RANK.position.GENERATOR``, and
``files.OPTION``; all else is JSON. Of tensors that share memory, such as tied embeddings, the file
has the first, and ``aliases`` names it for the others. Options are plain values, which JSON gives
back unchanged; see :func:`~.configuration.check_plain`.
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
PLUGIN_KEY = "onmt_lattice"
GENERATOR = "generator."
ALL_TRANSFORMS = "_all_transform"  # the one option that is a set
FILE_OPTIONS = ("src_subword_model", "tgt_subword_model", "src_subword_vocab", "tgt_subword_vocab")
POSITION = "position."


# ---- in a file -----------------------------------------------------------------------------------


def pack(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a ``checkpoint`` by their names in a file, and the plain values."""
    plugin, optim = dict(checkpoint[PLUGIN_KEY]), dict(checkpoint["optim"])
    optimizer = optim.pop("optimizer")
    model = dict(named_tensors(checkpoint))
    shared = aliases(model)
    parts: dict[str, dict[str, Tensor]] = {
        "model": {name: tensor for name, tensor in model.items() if name not in shared},
        "optimizer": {},
        "raw": plugin.pop("raw", {}),
        "random": {},
        "files": plugin.pop("files"),
    }
    numbers: dict[str, dict[str, Any]] = {}
    for parameter, state in optimizer["state"].items():
        numbers[parameter] = {k: v for k, v in state.items() if not isinstance(v, Tensor)}
        tensors = {f"{parameter}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
        parts["optimizer"] |= tensors
    processes = []
    for rank, process in enumerate(plugin.pop("processes")):
        position = process.get("position")
        random_states = {"": process["random_state"]}
        if position is not None:
            random_states[POSITION] = position["random_state"]
            position = {k: v for k, v in position.items() if k != "random_state"}
        processes.append({"unreported": process.get("unreported"), "position": position})
        for prefix, state in random_states.items():
            parts["random"] |= {f"{rank}.{prefix}{name}": tensor for name, tensor in state.items()}
    options = vars(checkpoint["opt"])
    vocabularies = {
        side: checkpoint["vocab"][side].base_field.vocab.itos for side in ("src", "tgt")
    }
    values = {
        **plugin,
        "options": {k: sorted(v) if isinstance(v, set) else v for k, v in options.items()},
        "vocabulary": vocabularies["tgt"] if checkpoint["opt"].share_vocab else vocabularies,
        "aliases": shared,
        "optimizer": {**optim, "groups": optimizer["param_groups"], "numbers": numbers},
        "processes": processes,
    }
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, named in parts.items()
        for name, tensor in named.items()
    }
    return tensors, values


def unpack(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> dict[str, Any]:
    """Reverse :func:`pack`, but for the vocabulary, which stays a list."""
    plugin = dict(values)
    parts: dict[str, dict[str, Any]]
    parts = {name: {} for name in ("model", "optimizer", "raw", "random", "files")}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    if foreign := set(parts["files"]) - set(FILE_OPTIONS):
        raise UserError(f"it would write a file {sorted(foreign)[0][:40]!r}")
    model = parts["model"]
    model |= {name: model[first] for name, first in plugin.pop("aliases").items()}
    optim = dict(plugin.pop("optimizer"))
    state = {parameter: dict(numbers) for parameter, numbers in optim.pop("numbers").items()}
    for name, tensor in parts["optimizer"].items():
        parameter, _, key = name.rpartition(".")
        state[parameter][key] = tensor
    optim["optimizer"] = {"state": state, "param_groups": optim.pop("groups")}
    for process in plugin["processes"]:
        process["random_state"] = {}
        if process["position"] is not None:
            process["position"]["random_state"] = {}
    for name, tensor in parts["random"].items():
        rank, _, rest = name.partition(".")
        process, generator = plugin["processes"][int(rank)], rest.removeprefix(POSITION)
        owner = process if generator == rest else process["position"] or {}
        owner["random_state"][generator] = tensor
    opt = Namespace(**plugin.pop("options"))
    if ALL_TRANSFORMS in opt:
        setattr(opt, ALL_TRANSFORMS, set(getattr(opt, ALL_TRANSFORMS)))
    vocabulary = plugin.pop("vocabulary")
    if parts["raw"]:
        plugin["raw"] = parts["raw"]
    return {
        "model": {k: v for k, v in model.items() if not k.startswith(GENERATOR)},
        "generator": {
            k.removeprefix(GENERATOR): v for k, v in model.items() if k.startswith(GENERATOR)
        },
        "vocab": vocabulary,
        "opt": opt,
        "optim": optim,
        PLUGIN_KEY: {**plugin, "files": parts["files"]},
    }


def named_tensors(checkpoint: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a model with their names in it."""
    yield from checkpoint["model"].items()
    yield from ((GENERATOR + name, tensor) for name, tensor in checkpoint["generator"].items())


def aliases(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Map the names of tensors that share memory with an earlier one to the name of the first."""
    first: dict[Any, str] = {}
    names = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            memory = tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
            names[name] = first.setdefault(memory, name)
    return {name: original for name, original in names.items() if name != original}


def not_finite(checkpoint: Mapping[str, Any]) -> list[str]:
    """Return the names of the model's tensors with numbers that are not finite."""
    return [name for name, tensor in named_tensors(checkpoint) if not tensor.isfinite().all()]


def make_fields(tokens: list[str] | dict[str, list[str]]) -> dict[str, Any]:
    """Return OpenNMT-py's fields with a vocabulary of ``tokens``, shared or one for each side."""
    fields: dict[str, Any] = get_fields("text", None, None)
    shared = None if isinstance(tokens, dict) else Vocab(Counter(), specials=tokens)
    for side in ("src", "tgt"):
        vocab = Vocab(Counter(), specials=tokens[side]) if isinstance(tokens, dict) else shared
        fields[side].base_field.vocab = vocab
    return fields


def embedded_files(opt: Namespace) -> dict[str, Tensor]:
    """Return the bytes (uint8) of the files that the transforms of ``opt`` read, by option."""
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
    """Return the state of the random generators of the CPU."""
    _, keys, *rest = cast(tuple, np.random.get_state(legacy=True))
    numpy = np.concatenate([keys, np.array(rest, dtype=np.float64)])  # exact for 32 bits
    return {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(random.getstate()[1]),
        "numpy": torch.from_numpy(numpy),
    }


def set_random_state(state: dict[str, Tensor]) -> None:
    """Set the random generators to a state of :func:`random_state` or :func:`host_random_state`."""
    torch.set_rng_state(state["torch"])
    random.setstate((3, tuple(state["python"].tolist()), None))
    *keys, position, has_gauss, cached = state["numpy"].tolist()
    words = np.array(keys).astype(np.uint32)
    np.random.set_state(("MT19937", words, int(position), int(has_gauss), cached))
    gpus = sum(name.startswith("cuda.") for name in state)
    if gpus and gpus == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state[f"cuda.{number}"] for number in range(gpus)])
