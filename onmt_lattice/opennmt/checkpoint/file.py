"""The file of a checkpoint: tensors and one JSON text in a safetensors container, with a digest.

The text stands under one key of the metadata, as the bytes of a file with several keys vary from
run to run. It begins with the digest: a SHA-256 of the whole file, where the digest counts as
zeros. safetensors checks header, offsets, shapes and lengths; the digest finds all other damage.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
from typing import Any

import safetensors.torch
from torch import Tensor

from onmt_lattice.errors import UserError
from onmt_lattice.files import whole_file

KEY = "onmt_lattice"  # of the metadata
BLANK = "0" * 64  # in the place of a digest
MARK = f'"{KEY}":"{{\\"digest\\": \\"'.encode()  # what stands before the digest in a header
BEGIN = 4096  # bytes of a file, in which the digest begins
EXPECTED = "expected a file that 'onmt_lattice train' has saved, such as model_step_500.safetensors"


def write_file(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], values: dict[str, Any]
) -> None:
    """Write a file of ``tensors`` and of plain ``values``, whole or not at all.

    Args:
        path: of the file.
        tensors: contiguous ones on the CPU, no two of which share memory.
        values: of text, numbers, None, and lists and dictionaries of these; a tuple becomes a list.
    """
    text = json.dumps({"digest": BLANK, **values})
    data = memoryview(safetensors.torch.save(tensors, {KEY: text}))
    start = bytes(data[:BEGIN]).index(MARK) + len(MARK)
    digest = hashlib.sha256(data).hexdigest().encode()
    with whole_file(path) as part, part.open("wb") as file:
        for piece in (data[:start], digest, data[start + len(digest) :]):
            file.write(piece)


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the values of the file at ``path``.

    Raises:
        UserError: if it cannot be read, is another kind of file, or is damaged.
    """
    try:
        with open(path, "rb") as file:
            begin = file.read(BEGIN)
            if MARK not in begin:
                raise UserError(f"checkpoint {path}: {_description(begin)}; {EXPECTED}")
            data = begin + file.read()
    except OSError as error:
        raise UserError(f"checkpoint {path}: cannot be read ({error.strerror})") from error
    view, start = memoryview(data), begin.index(MARK) + len(MARK)
    end = start + len(BLANK)
    digest = hashlib.sha256(view[:start])
    digest.update(BLANK.encode())
    digest.update(view[end:])
    if view[start:end] != digest.hexdigest().encode():
        raise UserError(
            f"checkpoint {path}: damaged: its contents do not agree with their digest; get it "
            f"again from where it came, or take an earlier one"
        )
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        values = json.loads(header["__metadata__"][KEY])
    except Exception as error:  # of a digest that somebody has made for something else
        raise UserError(f"checkpoint {path}: not a safetensors file; {EXPECTED}") from error
    del values["digest"]
    return tensors, values


def _description(begin: bytes) -> str:
    """Return what a file is that is not a checkpoint, from its first bytes."""
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
    return "is a text" if "\0" not in text else "is not a checkpoint of onmt_lattice, or damaged"
