"""What training reads: corpora, transforms, a vocabulary that fits, word vectors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import NEEDS_PYONMTTOK, Corpus, Mistake, train

from onmt_lattice.errors import UserError
from onmt_lattice.files import write_lines
from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint as load
from onmt_lattice.opennmt.data.vocabulary import check_coverage
from onmt_lattice.opennmt.data.word_vectors import read_vectors


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_corpora_that_cannot_be_trained_on(
    corpus: Corpus, tmp_path: Path, refused: Mistake
) -> None:
    source = str(corpus.train)
    blank = str(written(tmp_path / "blank.en", "\n  \n\t\n"))
    pair = {"path_src": source, "path_tgt": str(corpus.valid)}
    for data, said in (
        ({"c": pair}, "data.c.path_tgt"),
        ({"c": {"path_src": source, "transfroms": []}}, "did you mean 'transforms'?"),
        ({"c": {"path_sorc": source}}, "unknown key of data.c 'path_sorc'; did you mean"),
        ({"valid": {"path_src": source}}, "expected a training corpus"),
        ({"c": {"path_src": "nowhere.en"}}, "data.c.path_src nowhere.en: no such file"),
        ({"c": {"path_src": blank}}, f"{blank}: no sentence in it"),
        ({"c": {"path_src": source}, "valid": {"path_src": blank}}, "no sentence in it"),
        ({"c": {}}, "data.c.path_src None"),
        ({"c": {"path_src": [source]}}, "expected the path of a text"),
        ({"c": source}, "data.c: expected 'path_src: FILE'"),
        ({"c": {"path_src": source, "weight": 0}}, "data.c.weight 0"),
        ({"c": {"path_src": source, "weight": 10**12}}, "at least 1 and at most 10000"),
        ({"c": {"path_src": source, "weight": True}}, "data.c.weight True"),
        ({"c": {"path_src": source, "transforms": "bpe"}}, "expected a list of names"),
        ({"c": {"path_src": source, "transforms": [["bpe"]]}}, "unknown transform"),
        ({"c": {"path_src": source, "transforms": ["bep"]}}, "did you mean 'bpe'?"),
        ({"c": {"path_src": source, "transforms": ["bpe"]}}, "-src_subword_model"),
        (source, "expected corpora"),
        (None, "-data"),
    ):
        assert said in refused(data=data)
    for text in ("{c: [", "[" * 3000, "c: " + "9" * 5000):
        assert f"-data '{text[:200]}': not valid YAML" in refused("-data", text)
    write_lines(tmp_path / "foreign.txt", (f"word{i}\t1" for i in range(1000)))
    foreign = str(tmp_path / "foreign.txt")
    for options, said in (
        ({"src_subword_model": "x.model"}, "-src_subword_model x.model: no such file"),
        ({"src_seq_length_trunc": 9}, "-src_seq_length_trunc 9: expected none"),
        ({"tgt_seq_length_trunc": 9}, "filtertoolong"),
        ({"transforms": ["prefix"]}, "unknown transform 'prefix'"),
        ({"transforms": ["inferfeats"]}, "unknown transform 'inferfeats'"),
        ({"tgt_vocab": "other.txt"}, "has one vocabulary"),
        ({"share_vocab": False}, "has one vocabulary"),
        ({"tgt_subword_model": "x.model"}, "segmented as its source"),
        ({"src_subword_nbest": 5}, "-src_subword_nbest 5"),
        ({"src_subword_alpha": 0.1}, "-src_subword_alpha 0.1"),
        ({"src_vocab": foreign}, f"expected -src_vocab {foreign} to be of this text, as build_v"),
    ):
        assert said in refused(**options)


@pytest.mark.parametrize("name", ["no", "on", "1.5", "3", "~", "2016-01-01"])
def test_a_corpus_whose_name_is_no_text_is_refused(
    corpus: Corpus, refused: Mistake, name: str
) -> None:
    said = refused("-data", f"{{{name}: {{path_src: {corpus.train}}}}}")
    assert f"a corpus is named {yaml.safe_load(name)!r}" in said and "in quotes" in said


@pytest.mark.parametrize("side", ["training", "validation"])
def test_transforms_that_leave_no_sentence_are_told_at_once(
    corpus: Corpus, refused: Mistake, side: str
) -> None:
    path, filters = str(corpus.valid), ["filtertoolong"]
    data = {
        "c": {"path_src": path, "transforms": filters if side == "training" else []},
        "valid": {"path_src": path, "transforms": filters},
    }
    said = refused(data=data, src_seq_length=2)
    name = "c" if side == "training" else "valid"
    assert f"data.{name}.path_src {path}: the transforms filtertoolong leave no sentence" in said


KNOWN = frozenset("abcdefghij")


@pytest.mark.parametrize(
    ("sentence", "warned"), [("abcdefghij", 0), ("abcdefghi?", 0), ("abcd?", 1), ("ab??", 1)]
)
def test_unknown_tokens_are_counted(
    sentence: str, warned: int, caplog: pytest.LogCaptureFixture
) -> None:
    check_coverage([sentence, sentence], KNOWN, "-src x", "another")
    assert len(caplog.messages) == warned
    if warned:
        unknown, tokens = 2 * sentence.count("?"), 2 * len(sentence)
        assert f"-src x: {unknown} of {tokens} tokens are not in the model" in caplog.text
    with pytest.raises(UserError, match=r"2 of 3 tokens are not .* expected another"):
        check_coverage(["a??"], KNOWN, "-src x", "another")


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


FILES = {
    "pieces": b"\xc0\x80\x12",  # as a binary file begins
    "codes": b"#version: 0.2\na b\n",
    "wrong": b"#version: 0.2\na b c\n",
}
MISTAKES: dict[str, tuple[str, dict[str, str], str]] = {
    "no codes": ("bpe", {"src_subword_model": "pieces"}, "'utf-8' codec can't decode"),
    "a wrong line": ("bpe", {"src_subword_model": "wrong"}, "invalid line 2 in BPE codes file"),
    "no pieces": ("sentencepiece", {"src_subword_model": "codes"}, "could not parse ModelProto"),
    "no mode": ("onmt_tokenize", {"src_onmttok_kwargs": "{'mode': 'x'}"}, "tokenization mode: x"),
    "no option": ("onmt_tokenize", {"src_onmttok_kwargs": "{'mood': 'none'}"}, "mood"),
    "a name": ("onmt_tokenize", {"src_onmttok_kwargs": "{mode: none}"}, "expected a dictionary"),
    "code": ("onmt_tokenize", {"src_onmttok_kwargs": "exit()"}, "expected a dictionary"),
    "a list": ("onmt_tokenize", {"src_onmttok_kwargs": "[1]"}, "expected a dictionary"),
    "no package": ("onmt_tokenize", {}, "expected pyonmttok, which has no wheels"),
    "defaults": ("bart", {}, "src_subword_type=none incompatible with mask_length=subword"),
}


@pytest.mark.parametrize(
    ("command", "case"),
    [
        pytest.param(
            command, case, marks=NEEDS_PYONMTTOK if case in ("no mode", "no option") else ()
        )
        for command in ("train", "build_vocab")
        for case in MISTAKES
        if command == "train" or case != "defaults"  # which need a vocabulary
    ],
)
def test_mistakes(
    corpus: Corpus, tmp_path: Path, mistake: Mistake, monkeypatch: pytest.MonkeyPatch,
    command: str, case: str,
) -> None:  # fmt: skip
    transform, options, expected = MISTAKES[case]
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    changes: dict[str, Any] = {
        name: str(tmp_path / value) if value in FILES else value for name, value in options.items()
    }
    if command == "build_vocab":
        changes["src_vocab"] = str(tmp_path / "vocab.txt")
    config = corpus.yaml(
        *(tmp_path / "a.yaml",), transforms=[transform], save_model=str(tmp_path / "m"), **changes
    )
    if case == "no package":
        monkeypatch.setitem(sys.modules, "pyonmttok", None)
    said = mistake(command, "-config", config)
    assert expected in said
    assert all(f"-{name} {value}" in said for name, value in changes.items() if name in options)
    assert not list(tmp_path.glob("m_step*")) and not (tmp_path / "vocab.txt").exists()
