"""Word vectors that a training begins with: read as they are published, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Corpus
from test_training import load, train

from onmt_lattice.opennmt.data.word_vectors import read_vectors

Mistake = Callable[..., str]
VECTOR = " ".join(["0.5"] * 16)


def write(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


@pytest.mark.parametrize("header", [(), ("4 2",)])
def test_the_last_fields_are_the_vector(tmp_path: Path, header: tuple[str, ...]) -> None:
    lines = ("man 1 2", "\u00a0 3 4", ". . 5 6", "at x 7 -8e-1", "café 0 nan")
    path = write(tmp_path / "v", *header, *lines)
    words = {"man", "\u00a0", ". .", "horse"}
    vectors, total = read_vectors(str(path), "-both_embeddings", 2, 0, words)
    assert vectors == {"man": [1, 2], "\u00a0": [3, 4], ". .": [5, 6]} and total == 5
    assert read_vectors(str(path), "-both_embeddings", 2, 1, words)[1] == 4 + len(header)


@pytest.mark.parametrize("kind", ["GloVe", "word2vec"])
def test_training_begins_with_them(corpus: Corpus, tmp_path: Path, kind: str) -> None:
    lines = ["2 16"] * (kind == "word2vec") + [f"the {VECTOR}", f"the old {VECTOR}"]
    path = write(tmp_path / "v", *lines)
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), train_steps=1)
    words = ("-both_embeddings", path, "-embeddings_type", kind, "-freeze_word_vecs_enc")
    train(config, *words, "-save_data", tmp_path / "made" / "data")
    saved = load(tmp_path / "m_step_1.safetensors")
    index = saved["vocab"]["src"].base_field.vocab.stoi["the"]
    weights = saved["model"]["encoder.embeddings.make_embedding.emb_luts.0.weight"]
    assert torch.equal(weights[index], torch.full((16,), 0.5))


@pytest.mark.parametrize(
    ("lines", "encoding", "expected"),
    [
        ([f"the {VECTOR}", "man 0.1 0.2"], "utf-8", "line 2, of 'man', is not a word and its 16"),
        ([f"the {VECTOR[:-3]}x.5"], "utf-8", "line 1, of 'the', is not a word and its 16 numbers"),
        ([f"the {VECTOR[:-3]}nan"], "utf-8", "line 1, of 'the', is not a word and its 16 numbers"),
        ([f"café {VECTOR}"], "latin-1", "not UTF-8 text"),
        ([f"cheval {VECTOR}"], "utf-8", "none of its 1 words is in the vocabulary"),
    ],
)
def test_what_holds_no_vectors_is_refused(
    tmp_path: Path, refused: Mistake, lines: list[str], encoding: str, expected: str
) -> None:
    path = write(tmp_path / "v", *lines, encoding=encoding)
    words = ("-embeddings_type", "GloVe", "-save_data", tmp_path / "d")
    for option in ("both_embeddings", "tgt_embeddings"):
        said = refused(f"-{option}", path, *words)
        assert f"-{option} {path}: " in said and expected in said
    assert not list(tmp_path.glob("d*"))


def test_a_tensor_of_another_size_is_refused(tmp_path: Path, refused: Mistake) -> None:
    path = tmp_path / "v.pt"
    for what, expected in ((torch.zeros(3, 16), "holds (3, 16)"), ([1], "holds list")):
        torch.save(what, path)
        assert expected in refused("-pre_word_vecs_enc", path)
    path.write_text("the 0.5")
    assert f"-pre_word_vecs_dec {path}: cannot be read" in refused("-pre_word_vecs_dec", path)
