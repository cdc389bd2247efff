"""Tensors and one JSON text in a safetensors file with a digest: checkpoints and codecs.

The text has one key of the metadata, as files with several keys vary from run to run. It begins
with the digest: a SHA-256 of the whole file, with zeros for the digest. safetensors checks header,
offsets, shapes and lengths; the digest finds all other damage.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
from typing import Any

import safetensors.torch
from torch import Tensor

from onmt_lattice.errors import UserError, read_errors
from onmt_lattice.files import whole_file

KEY = "onmt_lattice"  # of the metadata
BLANK = "0" * 64  # stands for the digest while it is computed
MARK = f'"{KEY}":"{{\\"digest\\": \\"'.encode()  # before the digest in a header
BEGIN = 4096  # bytes, within which the digest begins
EXPECTED = "expected a file that 'onmt_lattice train' has saved, such as model_step_500.safetensors"


def write_file(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], values: dict[str, Any]
) -> None:
    """Write a file, see :func:`pack`, whole or not at all."""
    with whole_file(path) as part, part.open("wb") as file:
        file.writelines(_pieces(tensors, values))


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the values of the checkpoint at ``path``."""
    with read_errors(f"checkpoint {path}"), open(path, "rb") as file:
        data = file.read(BEGIN)
        if MARK in data:  # any other file may be huge
            data += file.read()
    return unpack(data, f"checkpoint {path}", EXPECTED)


def pack(tensors: dict[str, Tensor], values: dict[str, Any]) -> bytes:
    """Return a file of ``tensors`` and of plain ``values``.

    Args:
        tensors: contiguous ones on the CPU, no two of which share memory.
        values: of text, numbers, None, and lists and dictionaries of these; a tuple becomes a list.
    """
    return b"".join(_pieces(tensors, values))


def _pieces(
    tensors: dict[str, Tensor], values: dict[str, Any]
) -> tuple[memoryview, bytes, memoryview]:
    """Return a file in three pieces, without a copy: before, in and behind its digest."""
    text = json.dumps({"digest": BLANK, **values})
    data = safetensors.torch.save(tensors, {KEY: text})
    start = data.index(MARK, 0, BEGIN) + len(MARK)
    digest, view = hashlib.sha256(data).hexdigest().encode(), memoryview(data)
    return view[:start], digest, view[start + len(digest) :]


def unpack(data: bytes, name: str, expected: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the values of the file ``data``, for errors ``name``."""
    if (start := data.find(MARK, 0, BEGIN) + len(MARK)) < len(MARK):
        raise UserError(f"{name}: {_description(data[:BEGIN])}; {expected}")
    view, end = memoryview(data), start + len(BLANK)
    digest = hashlib.sha256(view[:start])
    digest.update(BLANK.encode())
    digest.update(view[end:])
    if view[start:end] != digest.hexdigest().encode():
        raise UserError(
            f"{name}: damaged: its contents do not agree with their digest; copy or download it "
            f"again, or use an earlier one"
        )
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        values = json.loads(header["__metadata__"][KEY])
    except Exception as error:  # a digest made by hand
        raise UserError(f"{name}: not a safetensors file; {expected}") from error
    del values["digest"]
    return tensors, values


def _description(begin: bytes) -> str:
    """Describe a file of another format by its first bytes."""
    if not begin:
        return "is empty"
    if begin.startswith((b"PK\x03\x04", b"\x80")):
        return "is a .pt file or another pickle or archive, which could run code"
    if begin[:3] in (b"OLZ", b"olz"):
        return "is a file of 'onmt_lattice compress'"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        text = "\0"
    return "is a text" if "\0" not in text else "is not a file of onmt_lattice, or damaged"
