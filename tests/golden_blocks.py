"""The frozen files of single codecs, tests/golden/blocks.json: what they hold and how they decode.

Run as a program it decodes them all and prints their digest; with ``write`` it adds those of codecs
that have none yet. What is frozen is never written again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from onmt_lattice.bitstream import CategoricalCodec, DitherKey, LatticeCodec
from onmt_lattice.codes import make_code
from onmt_lattice.lattices import make_lattice

PATH = Path(__file__).parent / "golden" / "blocks.json"
KEY = DitherKey(3, (0, 1, 10, 999, 2**40))
LATTICES = [
    *("Z", "A2", "A3", "A3*", "A7*", "D4", "D4*", "D5", "E8", "BW16", "Leech"),
    *("conv4-48", "conv64-48", "conv9-48", "conv25-48", "z4conv64-48"),
]
ENTRIES = [2, 3, 300]


class Golden(NamedTuple):
    """A codec and what its file holds.

    Attributes:
        integers: coordinates of points in their basis, or symbols.
        encode: returns the file.
        decode: returns the integers in a file.
    """

    integers: Tensor
    encode: Callable[[], bytes]
    decode: Callable[[bytes], Tensor]


def of_lattice(name: str, code: str) -> Golden:
    """Return points about the origin, and far from it, at scales from 0.1 to 60."""
    lattice = make_lattice(name).with_second_moment(1.0)
    shape = (max(1, 48 // lattice.dim), lattice.dim)
    numbers = torch.arange(shape[0] * shape[1]).view(shape)
    codec = LatticeCodec(make_code(code, lattice), numbers % 27 / 4 - 2.3)
    integers = torch.arange(len(KEY.indices) * numbers.numel()).view(-1, *shape).square() % 7 - 3
    integers[1, 0] *= 10**9
    return Golden(
        integers,
        lambda: codec.encode(lattice.point(integers), KEY),
        lambda data: lattice.coordinates(codec.decode(data, KEY)),
    )


def of_entries(entries: int) -> Golden:
    """Return symbols of ten quantizers, likely ones and unlikely ones."""
    codec = CategoricalCodec(torch.arange(10 * entries).view(10, entries) % 23 / 2)
    integers = torch.arange(200).view(20, 10).square() % entries
    return Golden(
        integers, lambda: codec.encode(integers), lambda data: codec.decode(data, len(integers))
    )


def goldens() -> dict[str, Golden]:
    """Return all by name."""
    codes = [(name, "discrete_gaussian") for name in LATTICES] + [("Z", "convolved_gaussian")]
    return {
        **{f"{name} {code}": of_lattice(name, code) for name, code in codes},
        **{f"categorical {entries}": of_entries(entries) for entries in ENTRIES},
    }


def frozen() -> dict[str, bytes]:
    """Return the frozen files, by name."""
    return {name: bytes.fromhex(text) for name, text in json.loads(PATH.read_text()).items()}


def digest() -> str:
    """Return a digest of all that the frozen files decode to, and of what is written today."""
    found, every = hashlib.sha256(), goldens()
    for name, data in frozen().items():
        found.update(every[name].decode(data).numpy().astype("<i8").tobytes())
        found.update(every[name].encode())
    return found.hexdigest()


def write() -> None:
    """Add the blocks that are missing."""
    blocks = json.loads(PATH.read_text()) if PATH.exists() else {}
    for name, golden in goldens().items():
        blocks.setdefault(name, golden.encode().hex())
    PATH.write_text(json.dumps(blocks, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write()
    print(digest())
