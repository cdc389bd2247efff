"""Sentences as vectors and points: they decode to what ``translate`` says, or are refused."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Corpus, Mistake, Trained, run

from onmt_lattice.bitstream.arrays import open_rows, write_rows
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder
from onmt_lattice.opennmt.commands import vector_files
from onmt_lattice.opennmt.inference.vectors import NO_POINT, SentenceVectors

KINDS: dict[str, tuple[str, ...]] = {
    "quantized": (),
    "points": ("-points",),
    "continuous": ("-continuous",),
}
HAVE_POINTS = ("lattice_z", "lattice_a2", "ste_scalar", "ste_vector")
SEED = ("-seed", 5)


def encoded(model: Path, text: Path, output: Path, *words: object) -> np.ndarray:
    run("encode", "-model", model, "-src", text, "-output", output, *words)
    return np.load(output, allow_pickle=False)


def decoded(model: Path, array: Path, *words: object) -> list[str]:
    output = array.with_suffix(".txt")
    run("decode", "-model", model, "-input", array, "-output", output, *words)
    return output.read_text(encoding="utf-8").splitlines()


def translated(model: Path, text: Path, output: Path, *words: object) -> list[str]:
    run("translate", "-model", model, "-src", text, "-output", output, *words)
    return output.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_encoded_decodes_to_what_translate_says(
    trained: Trained, corpus: Corpus, tmp_path: Path, name: str, kind: str
) -> None:
    if kind == "points" and name not in HAVE_POINTS:
        return
    model, array = trained(name), tmp_path / "vectors.npy"
    rows = encoded(model, corpus.test, array, *SEED, *KINDS[kind])
    lines = corpus.test.read_text(encoding="utf-8").split("\n")[:-1]
    assert rows.dtype == (np.int64 if kind == "points" else np.float32)
    empty = (rows == NO_POINT) if kind == "points" else np.isnan(rows)
    assert empty.all(1).tolist() == empty.any(1).tolist() == [not line.split() for line in lines]
    expected = translated(model, corpus.test, tmp_path / "pred.txt", *SEED)
    assert len(set(expected)) > 5
    assert decoded(model, array, *SEED, *KINDS[kind], "-batch_size", 7) == expected
    greedy = translated(model, corpus.test, tmp_path / "pred.txt", *SEED, "-beam_size", 1)
    assert decoded(model, array, *SEED, *KINDS[kind], "-beam_size", 1) == greedy


@pytest.mark.parametrize("kind", KINDS)
def test_shards_and_batches_do_not_matter(
    trained: Trained, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model, array = trained("lattice_a2"), tmp_path / "vectors.npy"
    rows = encoded(model, corpus.test, array, *KINDS[kind])
    text = decoded(model, array, *KINDS[kind])
    monkeypatch.setattr(vector_files, "SHARD", 9)
    again = encoded(model, corpus.test, array, "-batch_size", 4, *KINDS[kind])
    np.testing.assert_allclose(again, rows, rtol=1e-4, atol=1e-5)
    assert decoded(model, array, *KINDS[kind]) == text


def test_standard_input_and_output(
    trained: Trained,
    corpus: Corpus,
    tmp_path: Path,
    mistake: Mistake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, array = trained("ste_vector"), tmp_path / "vectors.npy"
    encoded(model, corpus.test, array)

    def piped(
        command: str, option: str, data: bytes, *words: object
    ) -> subprocess.CompletedProcess:
        given = ("-model", model, option, "-", "-output", "-", *words)
        line = [sys.executable, "-m", "onmt_lattice", command, *map(str, given)]
        return subprocess.run(line, input=data, capture_output=True, timeout=300)

    done = piped("encode", "-src", corpus.test.read_bytes())
    assert done.stdout == array.read_bytes(), done.stderr
    text = piped("decode", "-input", done.stdout, "-beam_size", 1).stdout.decode()
    assert text.splitlines() == decoded(model, array, "-beam_size", 1)
    for command, option, data, said in (
        ("encode", "-src", b"\n", "-src -: no sentence in it"),
        ("decode", "-input", array.read_bytes()[:-1], "-input -: no array in it"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert said in mistake(command, "-model", model, option, "-", "-output", "-")


def test_a_named_pipe(trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake) -> None:
    model, pipe = trained("gaussian"), tmp_path / "pipe"
    encoded(model, corpus.test, tmp_path / "file.npy")
    os.mkfifo(pipe)
    for text in (corpus.test.read_bytes(), b"\n"):
        threading.Thread(target=pipe.write_bytes, args=(text,), daemon=True).start()
        if text.strip():
            encoded(model, pipe, tmp_path / "pipe.npy")
        else:
            words = ("encode", "-model", model, "-src", pipe, "-output", tmp_path / "x.npy")
            assert f"-src {pipe}: no sentence in it" in mistake(*words)
    assert (tmp_path / "pipe.npy").read_bytes() == (tmp_path / "file.npy").read_bytes()


def test_points_are_of_seed_and_line(trained: Trained, corpus: Corpus, tmp_path: Path) -> None:
    model, array = trained("lattice_z"), tmp_path / "points.npy"
    rows = encoded(model, corpus.test, array, "-points", *SEED)
    text = decoded(model, array, "-points", *SEED, "-beam_size", 1)
    assert decoded(model, array, "-points", "-beam_size", 1) != text
    np.save(array, rows[1:])
    assert decoded(model, array, "-points", *SEED, "-beam_size", 1) != text[1:]
    vectors = SentenceVectors(load_autoencoder(model), "points", seed=5)
    assert vectors.decode(rows[1:], first=1, beam_size=1) == text[1:]


def test_rows_may_be_computed(trained: Trained, corpus: Corpus, tmp_path: Path) -> None:
    vectors = SentenceVectors(load_autoencoder(trained("ste_vector")))
    lines = corpus.test.read_text(encoding="utf-8").split("\n")[1:4]
    rows = vectors.encode(lines)
    expected = vectors.decode(rows, beam_size=1)
    for other in (rows.astype(np.float64), rows.astype(">f4"), np.asfortranarray(rows)):
        assert vectors.decode(other, beam_size=1) == expected
    middle = (rows[:1] + rows[1:2]) / 2
    assert vectors.decode(middle, beam_size=1)[0].split()
    assert vectors.decode(rows[:0]) == []
    assert max(len(line.split()) for line in vectors.decode(rows, max_length=2)) == 2


def test_models_that_send_nothing_discrete_have_no_points(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    output = tmp_path / "vectors.npy"
    for name in ("gaussian", "none"):
        words = ("-model", trained(name), "-src", corpus.test, "-output", output, "-points")
        said = mistake("encode", *words)
        assert f"-bottleneck {name} sends nothing discrete: expected a model" in said
        assert "'onmt_lattice quantize' makes" in said
    assert not output.exists()


def test_what_cannot_be_decoded_is_refused(
    trained: Trained, tmp_path: Path, mistake: Mistake
) -> None:
    output, array = tmp_path / "out.txt", tmp_path / "rows.npy"

    def refused(name: str, rows: np.ndarray, *words: object) -> str:
        np.save(array, rows)
        given = ("-model", trained(name), "-input", array, "-output", output, *words)
        said = mistake("decode", *given)
        assert not output.exists() and f"-input {array}: " in said
        return said

    good = np.zeros((3, 32), dtype=np.float32)
    for bad, value in ((good.copy(), np.nan), (good.copy(), np.inf), (good.astype("f8"), 1e300)):
        bad[1, 4] = value
        assert "in row 1 and column 4, from 0: expected finite numbers" in refused("none", bad)
    for name, rows, words in (
        ("none", good[:, :31], ()),
        ("none", good[:, :31], ("-continuous",)),
        ("none", good.astype(np.int64), ()),
        ("none", good.astype(np.complex64), ()),
        ("lattice_z", good[:, :16], ("-points",)),
        ("lattice_z", good.astype(np.int32)[:, :16], ("-points",)),
        ("lattice_z", good.astype(np.int64)[:, :15], ("-points",)),
    ):
        said = refused(name, rows, *words)
        assert f"an array of shape {rows.shape} and type {rows.dtype}: expected (N, " in said
    good[0, 0] = 1e30
    assert "X of up to 1e+30 is too far out" in refused("lattice_a2", good, "-continuous")
    entries = np.zeros((3, 32), dtype=np.int64)
    for value in (-1, 3):
        entries[2, 0] = value
        assert "expected entries from 0 to 2" in refused("ste_scalar", entries, "-points")
    points = np.zeros((3, 16), dtype=np.int64)
    for value in (2**60, NO_POINT):
        points[2, 0] = value
        assert f"{value} in row 2 and column 0" in refused("lattice_z", points, "-points")
    assert "no array in it" in mistake(
        "decode", "-model", trained("none"), "-input", trained("none"), "-output", output
    )


ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_what_is_written_in_parts_is_what_numpy_reads(tmp_path: Path, dtype: type) -> None:
    path, rows = tmp_path / "deep" / "rows.npy", ROWS.astype(dtype)
    write_rows(path, rows.shape, dtype, iter([rows[:1], rows[1:1], rows[1:]]))
    for read in (np.load(path, allow_pickle=False), open_rows(path)):
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, rows)
    np.save(tmp_path / "other.npy", rows)
    assert path.read_bytes() == (tmp_path / "other.npy").read_bytes()


def test_an_array_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield ROWS[:2]
        raise KeyboardInterrupt

    path = tmp_path / "rows.npy"
    with pytest.raises(KeyboardInterrupt):
        write_rows(path, ROWS.shape, np.float32, interrupted())
    for parts in ([ROWS[:2]], [ROWS, ROWS]):
        with pytest.raises(UserError, match="expected a text that does not change"):
            write_rows(path, ROWS.shape, np.float32, parts)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_array_of_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, ROWS)
    whole = path.read_bytes()
    contents = [b"", b"text\n", whole[:5], whole[:40], whole[:-1]]
    contents += [whole[:9] + b"x" + whole[10:]]
    objects = np.empty((2, 2), dtype=object)
    for array in (objects, ROWS[0], ROWS[:0], ROWS[None], ROWS[:, :0]):
        np.save(path, array, allow_pickle=True)
        contents.append(path.read_bytes())
    np.savez(tmp_path / "rows.npz", ROWS)
    for content in (*contents, (tmp_path / "rows.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"-input .*rows\.npy: .*expected rows"):
            open_rows(path)
    for missing in (tmp_path / "missing.npy", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            open_rows(missing)
