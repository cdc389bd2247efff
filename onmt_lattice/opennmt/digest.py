"""A digest of all that a checkpoint holds, so that a damaged one is not taken for a model."""

from __future__ import annotations

import functools
import hashlib
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch

PLAIN = (str, int, float, bool, bytes, type(None))


def digest(value: Any) -> str:
    """Return a SHA-256 of nested dictionaries, lists, tensors, options and vocabularies.

    Equal values have equal digests on any device and whatever the order of a dictionary's keys.
    """
    return hashlib.sha256(repr(_plain(value)).encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """Return ``value`` in plain values, a tensor as the hash of its bytes."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, torch.Tensor):
        raw = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
        return str(value.dtype), tuple(value.shape), hashlib.sha256(raw).hexdigest()
    if isinstance(value, Mapping):
        return sorted((repr(key), _plain(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, functools.partial):
        return _plain([value.func, value.args, value.keywords])
    if isinstance(value, Namespace) or hasattr(value, "__dict__"):
        return _name(value), _plain(vars(value))
    return repr(value)


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
