"""Text to a file and back: the library, ``compress``, ``decompress`` and ``inspect``."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import BOTTLENECKS, Capture, Corpus, Mistake, Trained, lines_of

from onmt_lattice.bitstream import DitherKey, WrongCode
from onmt_lattice.bitstream.file import FileReader
from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Evaluation
from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder
from onmt_lattice.opennmt.inference.search import reconstruct, search_options
from onmt_lattice.opennmt.inference.text_codec import TextCodec, load_codec

CODED = [name for name in BOTTLENECKS if name not in ("none", "gaussian")]
coded = pytest.mark.parametrize("name", CODED)


@pytest.fixture(scope="session")
def z(trained: Trained) -> TextCodec:
    """The codec of a small model with the lattice Z."""
    return load_codec(str(trained("lattice_z")))


def text_of(corpus: Corpus) -> list[str]:
    return corpus.test.read_text(encoding="utf-8").splitlines()


@coded
def test_what_comes_back_is_what_the_model_decodes_from_the_points(
    trained: Trained, corpus: Corpus, name: str
) -> None:
    loaded = load_autoencoder(trained(name))
    codec, lines = TextCodec(loaded), text_of(corpus)
    for beam_size in (1, 3):
        back = codec.decompress(codec.compress(lines, seed=5), beam_size, max_length=20)
        sentences = codec.read(lines)
        key = DitherKey(5, tuple(sentence.index for sentence in sentences))
        sent = codec.codec.quantize(codec.scorer.represent(sentences), key)
        search = search_options(beam_size, 20, 64)
        output = codec.codec.output(sent, key)
        best = reconstruct(loaded, sentences, output, codec.pipe, search)
        assert [line for line in back if line] == [line[0] for line in best]
        assert [not line for line in back] == [not line.split() for line in lines]


@coded
def test_a_file_is_as_long_as_the_rate_says(trained: Trained, name: str) -> None:
    made = load_codec(str(trained(name))).compressed(lines_of(1000, 9), seed=1, with_rate=True)
    ideal = made.rate_nats / math.log(2)
    parts = FileReader(made.data).bits()
    assert abs(parts["points"] - ideal) < 0.001 * ideal + 16
    assert 8 * len(made.data) - parts["points"] <= 200


def test_sentences_are_the_same_in_batches_of_any_size(trained: Trained, corpus: Corpus) -> None:
    lines = text_of(corpus)
    files = {load_codec(str(trained("lattice_a2")), -1, n).compress(lines) for n in (1, 7, 64)}
    assert len(files) == 1


def test_lines_alone_and_blocks_of_many_decode_to_the_same(
    z: TextCodec, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = text_of(corpus)
    together, alone = z.compress(lines), z.compress(lines, alone=True)
    monkeypatch.setattr("onmt_lattice.opennmt.inference.text_codec.BLOCK_BITS", 3)
    some = z.compress(lines)
    assert z.decompress(together) == z.decompress(alone) == z.decompress(some)
    assert FileReader(some).header.blocks == math.ceil(len(lines) / 8)
    assert len(alone) - len(together) < 8 * len(lines)
    back = z.decompress(alone)
    for line in (0, 5, len(lines) - 1):  # which needs no other
        for data in (alone, together):
            assert z.decompress_line(data, line) == back[line]
    with pytest.raises(UserError, match="line 74: expected 1 to 73"):
        z.decompress_line(alone, len(lines))


@pytest.mark.parametrize("lines", [[], [""], ["", "  ", ""], ["the dog sees"], ["\r", "a\tb\rc"]])
def test_the_smallest_texts(z: TextCodec, lines: list[str]) -> None:
    back = z.decompress(z.compress(lines))
    assert [bool(line) for line in back] == [bool(line.split()) for line in lines]


def test_a_line_feed_within_a_sentence_is_refused(z: TextCodec) -> None:
    with pytest.raises(UserError, match="sentence 2 has a line feed"):
        z.compress(["a dog", "a\ndog"])


def test_another_model_is_told(z: TextCodec, trained: Trained, corpus: Corpus) -> None:
    data = z.compress(text_of(corpus))
    with pytest.raises(WrongCode, match="expected the checkpoint that it was compressed with"):
        load_codec(str(trained("lattice_a2"))).decompress(data)
    changed = load_autoencoder(trained("lattice_z"))
    with torch.no_grad():
        changed.model.generator[0].bias[0] += 1e-3
    with pytest.raises(WrongCode):
        TextCodec(changed).decompress(data)
    renamed = load_autoencoder(trained("lattice_z"))
    itos = renamed.fields["tgt"].base_field.vocab.itos
    itos[5], itos[6] = itos[6], itos[5]
    with pytest.raises(WrongCode):
        TextCodec(renamed).decompress(data)


@coded
def test_evaluate_shows_the_bits_of_the_file_beside_the_rate(
    trained: Trained, corpus: Corpus, tmp_path: Path, capsys: Capture, name: str
) -> None:
    model, output = trained(name), tmp_path / "evaluation.json"
    words = ["-model", model, "-src", corpus.test, "-output", output, "-coded", "-seed", "3"]
    assert main(["evaluate", *map(str, words)]) == 0
    table = capsys.readouterr().out
    e = Evaluation.read(output)
    data = load_codec(str(model)).compress(text_of(corpus), seed=3)
    assert e.coded is not None
    assert e.coded.bits == sum(e.coded.parts.values()) == 8 * len(data)
    assert abs(e.coded.parts["points"] - e.coded.rate_bits) < 0.001 * e.coded.rate_bits + 16
    assert e.coded.rate_bits / e.sentences == pytest.approx(e.rate.sentence, rel=0.05)
    (row,) = [line for line in table.splitlines() if line.startswith("coded, all of a file")]
    assert float(row.split()[-1]) == pytest.approx(e.coded.bits / e.sentences, abs=1e-3)
    assert f"coded: {8 * len(data)} bits (header " in table


# ---- the commands --------------------------------------------------------------------------------


@coded
def test_the_commands(
    trained: Trained, corpus: Corpus, tmp_path: Path, capsys: Capture, name: str
) -> None:
    model, file, text = str(trained(name)), str(tmp_path / "a.olz"), tmp_path / "deep" / "a.out"
    assert main(["compress", "-model", model, "-src", str(corpus.test), "-output", file]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "lines a second; " in said.err.splitlines()[-1]
    assert "tokens are unknown" in said.err
    assert main(["decompress", "-model", model, "-input", file, "-output", str(text)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "73 lines: " in said.err.splitlines()[-1]
    assert main(["decompress", "-model", model, "-input", file, "-output", "-", "-line", "2"]) == 0
    assert capsys.readouterr().out == text.read_text(encoding="utf-8").splitlines()[1] + "\n"
    codec = load_codec(model)
    assert Path(file).read_bytes() == codec.compress(text_of(corpus))
    back = codec.decompress(Path(file).read_bytes())
    assert text.read_text(encoding="utf-8") == "".join(f"{line}\n" for line in back)
    assert main(["inspect", file]) == 0
    table = capsys.readouterr().out
    words = sum(len(line.split()) for line in text_of(corpus))
    assert f"model {codec.fingerprint.hex()}, lossy, seed 0" in table
    assert f"73 lines, {words} words, {len(corpus.test.read_text())} characters" in table
    bits = {row[:12].strip(): row.split()[-3:] for row in table.splitlines()[4:]}
    assert int(bits["in all"][0]) == 8 * len(Path(file).read_bytes())
    assert sum(int(row[0]) for row in bits.values()) == 2 * int(bits["in all"][0])
    assert float(bits["points"][1]) == pytest.approx(int(bits["points"][0]) / words, abs=1e-3)


def test_a_pipe_through_standard_input_and_output(trained: Trained, corpus: Corpus) -> None:
    """In a process of its own: nothing but the file and the text may reach standard output."""
    python = f"{sys.executable} -m onmt_lattice"
    model = trained("lattice_z")
    script = (
        f"{python} compress -model {model} -src - -output - | "
        f"{python} decompress -model {model} -input - -output -"
    )
    lines = text_of(corpus)[:6]
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        input="\n".join(lines),  # no final line feed
        capture_output=True,
        text=True,
        check=True,
    )
    codec = load_codec(str(model))
    back = codec.decompress(codec.compress(lines))
    assert done.stdout == "".join(f"{line}\n" for line in back)


def test_mistakes_are_told_in_a_line_and_nothing_is_written(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    model, out, missing = trained("lattice_z"), tmp_path / "out", tmp_path / "missing"
    garbage = tmp_path / "garbage.olz"
    garbage.write_bytes(bytes(range(256)))
    good = ("-model", model, "-src", corpus.test, "-output", out)
    for words, said in (
        ((*good, "-model", trained("gaussian")), "has no code: what it sends has a density"),
        ((*good, "-model", trained("none")), "has no code: it sends real numbers"),
    ):
        assert said in mistake("compress", *words)
        assert not out.exists()
    words = ("-model", trained("gaussian"), "-src", corpus.test, "-output", out, "-coded")
    assert "-coded: bottleneck gaussian has no code" in mistake("evaluate", *words)
    assert not out.exists()
    file = tmp_path / "a.olz"
    file.write_bytes(load_codec(str(model)).compress(["a dog"]))
    good = ("-model", model, "-input", file, "-output", out)
    for words, said in (
        ((*good, "-line", 2), "line 2: expected 1 to 1"),
        ((*good, "-input", garbage), "garbage.olz: begins with"),
    ):
        assert said in mistake("decompress", *words)
        assert not out.exists()
    for words, said in (
        ((missing,), "missing: cannot be read"),
        ((garbage,), "garbage.olz: begins with"),
    ):
        assert said in mistake("inspect", *words)
