"""A vocabulary that does not fit the text is refused before a model learns the unknown token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Corpus
from test_training import train

from onmt_lattice.errors import UserError
from onmt_lattice.files import write_lines
from onmt_lattice.opennmt.data.coverage import check_coverage

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


def test_training_is_refused_where_no_word_is_shared(
    corpus: Corpus, tmp_path: Path, refused: Callable[..., str]
) -> None:
    foreign = tmp_path / "foreign.txt"
    write_lines(foreign, (f"word{i}\t1" for i in range(1000)))
    said = refused(src_vocab=str(foreign))
    assert f"data.grammar.path_src {corpus.train}: " in said
    assert f"expected -src_vocab {foreign} to be of this text, as build_vocab makes it" in said


def test_training_warns_where_many_words_are_unknown(corpus: Corpus, tmp_path: Path) -> None:
    few, log = tmp_path / "few.txt", tmp_path / "log"
    write_lines(few, corpus.vocabulary.read_text(encoding="utf-8").splitlines()[:100])
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), src_vocab=str(few))
    train(config, "-train_steps", 1, "-log_file", log)
    assert " tokens are not in the model's vocabulary" in log.read_text(encoding="utf-8")
    train(
        config,
        "-train_steps",
        1,
        "-src_vocab",
        corpus.vocabulary,
        "-log_file",
        tmp_path / "b",
        "-save_model",
        tmp_path / "n",
    )
    assert "not in the model's" not in (tmp_path / "b").read_text(encoding="utf-8")
