"""Any bytes to a file and back: the library and ``compress -lossless``."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BOTTLENECKS, Capture, Corpus, Mistake, Trained, lines_of

from onmt_lattice.bitstream import BitstreamError, DamagedBitstream
from onmt_lattice.bitstream.file import FileReader, FileWriter, Section
from onmt_lattice.cli import main
from onmt_lattice.opennmt.inference import lossless_text
from onmt_lattice.opennmt.inference.lossless_text import LosslessText
from onmt_lattice.opennmt.inference.text_codec import load_codec

CODED = [name for name in BOTTLENECKS if name not in ("none", "gaussian")]
ENDS = ["\n", "\r\n", "\r", "\u2028", "\x0c", ""]
HARD = [
    *(b"", b"\n", b"\n\n", b" ", b"\0", b"the man", b"\xff\xfe", b"\xef\xbb\xbfthe man\r\n"),
    b"<s> the man </s>\n<unk>\n<blank> <blank>\n",
    b"the man " * 20000,
    b"the " + b"x" * 100000 + b"\n",
    "".join(f"the woman sees the man .{end}" for end in ENDS).encode(),
    "日本語の文章です。\nالعربية\nκόσμε\n".encode(),
]


@pytest.fixture(scope="session")
def z(trained: Trained) -> LosslessText:
    """The codec of a small model with the lattice Z."""
    return LosslessText(load_codec(str(trained("lattice_z"))))


@pytest.mark.parametrize("name", CODED)
def test_a_text_comes_back_byte_for_byte(trained: Trained, corpus: Corpus, name: str) -> None:
    lossless = LosslessText(load_codec(str(trained(name))))
    data = corpus.test.read_bytes()
    made = lossless.compress(data, seed=3)
    assert lossless.decompress(made) == data
    assert len(made) < len(data) / 2


@pytest.mark.parametrize("data", HARD, ids=lambda data: repr(data[:12]))
def test_hard_texts_come_back(z: LosslessText, data: bytes) -> None:
    assert z.decompress(z.compress(data)) == data


def test_tokens_cost_what_evaluate_says(z: LosslessText) -> None:
    lines = lines_of(1000, 9)
    bits = FileReader(z.compress("\n".join(lines).encode())).bits()
    scores = z.codec.scorer.score(z.codec.read(lines))
    ideal = scores.nll_nats.sum().item() / math.log(2)
    # The dither of a file is another than that of an evaluation.
    assert bits["tokens"] == pytest.approx(ideal, rel=0.005, abs=64)
    assert bits["escapes"] < 4000 and bits["text"] == 32


def test_blocks_follow_one_another(
    z: LosslessText, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lossless_text, "BLOCK_BITS", 3)
    data = corpus.test.read_bytes().removesuffix(b"\n")
    made = z.compress(data)
    assert FileReader(made).header.blocks == 10
    assert b"".join(z.decompressed(made)) == data


def forged(made: bytes, change: Callable[[dict[Section, bytes]], None]) -> bytes:
    """Return the file ``made`` with its sections changed and its checksums right."""
    file = FileReader(made)
    writer = FileWriter(file.header)
    sections = {Section(kind): payload for kind, payload in file.block(0).items()}
    change(sections)
    writer.add(sections)
    return writer.data()


def test_another_text_is_not_given_out(z: LosslessText) -> None:
    made = z.compress(b"the man sees the dog\n")
    with pytest.raises(DamagedBitstream, match="not the one that was written"):
        z.decompress(forged(made, lambda s: s.update({Section.TEXT: b"abcd"})))
    for kind in (Section.TOKENS, Section.TEXT):
        with pytest.raises(DamagedBitstream, match="a lossless block of sections"):
            z.decompress(forged(made, lambda s, kind=kind: s.pop(kind)))
    with pytest.raises(BitstreamError):
        z.decompress(forged(made, lambda s: s.update({Section.POINTS: b""})))
    raw = z.compress(b"\n")
    with pytest.raises(DamagedBitstream, match="points of no line"):
        z.decompress(forged(raw, lambda s: s.update({Section.POINTS: b"abcd"})))


def test_the_mode_of_a_file_is_heeded(z: LosslessText) -> None:
    with pytest.raises(DamagedBitstream, match="a lossy file: expected one that is lossless"):
        z.decompress(z.codec.compress(["the man"]))
    with pytest.raises(DamagedBitstream, match="a lossless file: expected one that is lossy"):
        z.codec.decompress(z.compress(b"the man"))


def test_the_commands_give_the_bytes_back_in_another_process(
    trained: Trained, corpus: Corpus, tmp_path: Path, capfd: Capture
) -> None:
    model, text = str(trained("lattice_a2")), tmp_path / "text.en"
    text.write_bytes(corpus.test.read_bytes() + b"A  Man\r\n\xff the \0 end")
    made, back = tmp_path / "text.olz", tmp_path / "back.en"
    words = ["-model", model, "-src", str(text), "-output", str(made), "-lossless"]
    assert main(["compress", *words]) == 0
    said = capfd.readouterr().err
    assert f"{len(text.read_bytes())} bytes, to {len(made.read_bytes())} bytes" in said
    assert main(["inspect", str(made)]) == 0
    said = capfd.readouterr().out
    assert all(part in said for part in ("lossless", "points", "tokens", "escapes", "checksums"))
    words = ["-model", model, "-input", str(made), "-output", str(back)]
    machine = {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "onmt_lattice", "decompress", *words],
        env={**os.environ, **machine, "OPENBLAS_CORETYPE": "Nehalem"},
        check=True,
    )
    assert back.read_bytes() == text.read_bytes()


def test_options_that_do_not_go_together(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    model, made = trained("lattice_z"), tmp_path / "made.olz"
    words = ["-model", model, "-src", corpus.test, "-output", made, "-lossless"]
    assert "-alone: not with -lossless" in mistake("compress", *words, "-alone")
    assert main(["compress", *map(str, words)]) == 0
    words = ["-model", model, "-input", made, "-output", tmp_path / "x", "-line", 3]
    assert "-line 3: a lossless file is decoded whole" in mistake("decompress", *words)
    assert not (tmp_path / "x").exists()
