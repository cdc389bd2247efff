"""Corpora: one text each, its target its source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Corpus

Mistake = Callable[..., str]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_misspelled_key_of_a_corpus_names_the_nearest(corpus: Corpus, refused: Mistake) -> None:
    said = refused(data={"c": {"path_src": str(corpus.train), "transfroms": []}})
    assert "unknown key of data.c 'transfroms'; did you mean 'transforms'?" in said
    said = refused("-data", "{c: {path_sorc: x}}")
    assert "unknown key of data.c 'path_sorc'; did you mean 'path_src'?" in said


def test_corpora_that_cannot_be_trained_on(
    corpus: Corpus, tmp_path: Path, refused: Mistake
) -> None:
    source = str(corpus.train)
    blank = str(written(tmp_path / "blank.en", "\n  \n\t\n"))
    for data, said in (
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
    assert "-src_subword_model x.model: no such file" in refused(src_subword_model="x.model")


@pytest.mark.parametrize("name", ["no", "on", "1.5", "3", "~", "2016-01-01"])
def test_a_corpus_whose_name_is_no_text_is_refused(
    corpus: Corpus, refused: Mistake, name: str
) -> None:
    said = refused("-data", f"{{{name}: {{path_src: {corpus.train}}}}}")
    assert f"a corpus is named {yaml.safe_load(name)!r}" in said and "in quotes" in said


def test_what_makes_target_and_source_differ_is_refused(corpus: Corpus, refused: Mistake) -> None:
    for side in ("src", "tgt"):
        said = refused(f"-{side}_seq_length_trunc", 9)
        assert f"-{side}_seq_length_trunc 9: expected none" in said and "filtertoolong" in said
    for name in ("prefix", "inferfeats", "filterfeats"):
        assert f"unknown transform '{name}'" in refused(transforms=[name])


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


def test_another_target_is_refused(corpus: Corpus, refused: Mistake) -> None:
    data = {"c": {"path_src": str(corpus.train), "path_tgt": str(corpus.valid)}}
    assert "data.c.path_tgt" in refused(data=data)
    for words in ((), ("-share_vocab",)):
        assert "has one vocabulary" in refused(*words, tgt_vocab="other.txt")
    assert "has one vocabulary" in refused(share_vocab=False)
    assert "segmented as its source" in refused(tgt_subword_model="x.model")


def test_the_same_target_is_taken(corpus: Corpus) -> None:
    from onmt_lattice.opennmt.data.corpora import target_is_source
    from onmt_lattice.opennmt.options.parsers import train_parser
    from onmt_lattice.opennmt.options.parsing import parse

    path, vocabulary = str(corpus.train), str(corpus.vocabulary)
    data = yaml.safe_dump({"c": {"path_src": path, "path_tgt": path}, "d": {"path_src": path}})
    opt = parse(train_parser, ["-data", data, "-src_vocab", vocabulary, "-tgt_vocab", vocabulary])
    target_is_source(opt)
    assert {c["path_tgt"] for c in yaml.safe_load(opt.data).values()} == {path}


def test_sampled_segmentation_is_refused(refused: Mistake) -> None:
    assert "-src_subword_nbest 5" in refused(src_subword_nbest=5)
    assert "-src_subword_alpha 0.1" in refused(src_subword_alpha=0.1)
