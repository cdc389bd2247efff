"""The frozen files of whole texts, tests/golden/*.olz, and the frozen models they decode with.

Run as a program it prints digests of what they all hold: of the points of lossy files, and of the
text of lossless ones. With ``write`` it compresses tests/golden/text.en with each model that has no
file yet, and notes the points of that file. What is frozen is never written again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from onmt_lattice.bitstream import DitherKey
from onmt_lattice.bitstream.file import Section
from onmt_lattice.bitstream.representation import LatticePoints
from onmt_lattice.bitstream.varint import read_empty_lines
from onmt_lattice.cli.main import quiet_opennmt

GOLDEN = Path(__file__).parent / "golden"
NOTES = GOLDEN / "points.json"
TEXT = GOLDEN / "text.en"
MODELS = ("lattice_conv16", "ste_vector", "lattice_E8")
RAW = TEXT.read_bytes() + b"\n\xff\xfe no text\r\nno end"
SEED = 5


def points(model: str) -> str:
    """Return a digest of the integers that the file of ``model`` holds for each of its lines."""
    from onmt_lattice.opennmt.inference.text_codec import load_codec

    codec = load_codec(str(GOLDEN / f"{model}.safetensors"))
    file, found = codec.opened((GOLDEN / f"{model}.olz").read_bytes()), hashlib.sha256()
    for number in range(file.header.blocks):
        sections, span = file.block(number), file.header.span(number)
        empty = read_empty_lines(sections.get(Section.EMPTY, b""), len(span))
        lines = tuple(line for place, line in enumerate(span) if place not in empty)
        sent = codec.codec.read(sections[Section.POINTS], DitherKey(file.header.seed, lines))
        for array in (torch.tensor(lines), _integers(codec.codec, sent)):
            found.update(array.numpy().astype("<i8").tobytes())
    return found.hexdigest()


def text(model: str) -> bytes:
    """Return the bytes that the lossless file of ``model`` holds."""
    from onmt_lattice.opennmt.inference.lossless_text import load_lossless

    lossless = load_lossless(str(GOLDEN / f"{model}.safetensors"))
    return lossless.decompress((GOLDEN / f"{model}_lossless.olz").read_bytes())


def digests() -> list[str]:
    """Return those of all points and of all texts."""
    texts = [hashlib.sha256(text(model)).hexdigest() for model in MODELS]
    return [*map(points, MODELS), *texts]


def _integers(codec: object, sent: Tensor) -> Tensor:
    """Return the coordinates of lattice points in their basis, or the entries chosen."""
    return codec.channel.lattice.coordinates(sent) if isinstance(codec, LatticePoints) else sent


def write() -> None:
    """Add the files that are missing."""
    from onmt_lattice.opennmt.inference.lossless_text import load_lossless

    notes = json.loads(NOTES.read_text()) if NOTES.exists() else {}
    for model in MODELS:
        lossless = load_lossless(str(GOLDEN / f"{model}.safetensors"))
        whole = GOLDEN / f"{model}_lossless.olz"
        if not whole.exists():
            whole.write_bytes(lossless.compress(RAW, SEED))
        file = GOLDEN / f"{model}.olz"
        if not file.exists():
            lines = TEXT.read_text(encoding="utf-8").split("\n")
            file.write_bytes(lossless.codec.compress(lines, SEED))
            decoded = "".join(f"{line}\n" for line in lossless.codec.decompress(file.read_bytes()))
            file.with_suffix(".out").write_text(decoded, encoding="utf-8")
            notes[model] = points(model)
    NOTES.write_text(json.dumps(notes, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    quiet_opennmt()
    if sys.argv[1:] == ["write"]:
        write()
    print(*digests())
