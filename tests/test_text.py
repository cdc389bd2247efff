"""What is text, and what is not, wherever a command reads some."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Corpus, Mistake, Trained
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.files import write_lines
from onmt_lattice.text import LONGEST_LINE, is_sentence, joined, line_shards, read_lines, word_count

MARK = "\ufeff"
WORDS = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]))
LONG = "word " * 20_000
GZIP = gzip.compress(b"a b\n")
NOT_TEXT = {
    b"a b\ncaf\xe9\n": "not UTF-8 text (unexpected end of data in line 2); if it is in another",
    b"a\n\nb\0c\n": "line 3 holds a NUL byte; expected text in UTF-8, a sentence a line",
    GZIP: "is packed by gzip; gunzip unpacks it",
    bz2.compress(b"a b\n"): "is packed by bzip2",
    lzma.compress(b"a b\n"): "is packed by xz",
    "a b\n".encode("utf-16"): "is in UTF-16; 'iconv",
    "a b\n".encode("utf-32"): "is in UTF-32; 'iconv -f UTF-32",
    b"PK\x03\x04abc": "is a zip archive, as a checkpoint is",
    b"\x89PNG\r\n\x1a\n\0\0": "not UTF-8 text (invalid start byte in line 1)",
    b"\n \n\t\n": "no sentence in it; expected text",
    b"": "no sentence in it; expected text",
}


@settings(deadline=None)  # the disk takes its time
@given(st.lists(WORDS))
def test_lines_that_were_written_are_read(tmp_path_factory: Any, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("lines") / "text"
    write_lines(path, ["begin", *lines, "end"])
    assert read_lines(path) == ["begin", *lines, "end"]
    assert [line for shard in line_shards(path, 2) for line in shard] == read_lines(path)


def test_a_last_line_needs_no_line_feed(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\r\n\nb")
    assert read_lines(tmp_path / "text") == ["a\r", "", "b"]


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(f"{MARK}the dog\n{MARK}a\n", encoding="utf-8")
    assert read_lines(tmp_path / "text") == ["the dog", f"{MARK}a"]


@pytest.mark.parametrize("content", NOT_TEXT, ids=range(len(NOT_TEXT)))
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(UserError) as refusal:
        read_lines(path, "-text")
    assert str(refusal.value).startswith(f"-text {path}: {NOT_TEXT[content]}")


def test_a_line_that_is_too_long_is_no_sentence(tmp_path: Path) -> None:
    path = tmp_path / "text"
    longest = "é" * LONGEST_LINE
    write_lines(path, ["a", longest])
    assert read_lines(path) == ["a", longest] and is_sentence(longest)
    write_lines(path, ["a", longest + "e"])
    with pytest.raises(UserError, match="line 2 has 8,193 characters; expected a sentence a line"):
        read_lines(path)
    assert read_lines(path, longest=None)[1] == longest + "e" and not is_sentence(longest + "e")


# ---- every command ------------------------------------------------------------------------------


def reads(corpus: Corpus, trained: Trained, text: Path, out: Path) -> dict[str, list[object]]:
    """Return a call of every command that reads text, by the option that names it."""
    model = ["-model", trained("lattice_z"), "-src", text, "-output", out]
    gaussian = ["-model", trained("gaussian"), "-src", text, "-output", out]
    data = yaml.safe_dump({"c": {"path_src": str(text)}})
    valid = yaml.safe_dump({"c": {"path_src": str(corpus.train)}, "valid": {"path_src": str(text)}})
    train = ["train", "-config", corpus.yaml(out.with_name("a.yaml"), save_model=str(out))]
    return {
        "evaluate -src": ["evaluate", *model],
        "translate -src": ["translate", *model],
        "compress -src": ["compress", *model],
        "encode -src": ["encode", *model],
        "quantize -src": ["quantize", *gaussian, "-lattice", "E8"],
        "train data.c.path_src": [*train, "-data", data],
        "train data.valid.path_src": [*train, "-data", valid],
        "build_vocab data.c.path_src": ["build_vocab", "-data", data, "-src_vocab", out],
    }


def test_no_command_takes_it(
    corpus: Corpus, trained: Trained, tmp_path: Path, mistake: Mistake
) -> None:
    text, out = tmp_path / "text", tmp_path / "out"
    for content in (b"a b\ncaf\xe9\n", b"a\n\nb\0c\n", GZIP, b"\n"):
        text.write_bytes(content)
        for name, words in reads(corpus, trained, text, out).items():
            if content == b"\n" and name.startswith("compress"):
                continue  # a file of an empty line
            option = name.split()[1]
            said = mistake(*words)
            assert f"error: {option} {text}: {NOT_TEXT.get(content, 'no sentence')}" in said, name
            assert not list(tmp_path.glob("out*")), name


def test_lines_that_are_too_long(
    corpus: Corpus, trained: Trained, tmp_path: Path, mistake: Mistake
) -> None:
    """Commands that answer line by line refuse them; those that learn leave them out."""
    text, out = tmp_path / "text", tmp_path / "out"
    lines = corpus.train.read_text(encoding="utf-8").splitlines()
    write_lines(text, [*lines, LONG])
    for name, words in reads(corpus, trained, text, out).items():
        if name.split()[0] in ("evaluate", "translate", "compress", "encode"):
            assert f"-src {text}: line 801 has 100,000 characters" in mistake(*words)
            continue
        log = tmp_path / "log"
        short = ["-train_steps", 2, "-valid_steps", 2] if name.startswith("train") else []
        logged = ["-log_file", log] if short else []
        assert main([str(word) for word in [*words, *short, *logged]]) == 0
        if short:
            assert f"{text}: 1 lines are skipped, the first is line 801" in log.read_text()
            log.unlink()
        for made in tmp_path.glob("out*"):
            made.unlink()
    write_lines(text, [LONG])
    data = yaml.safe_dump({"c": {"path_src": str(text)}})
    said = mistake("build_vocab", "-data", data, "-src_vocab", out)
    assert f"data.c.path_src {text}: no sentence in it" in said


def test_byte_order_marks_change_nothing(corpus: Corpus, trained: Trained, tmp_path: Path) -> None:
    """Every command takes a marked text for the same text."""
    results = []
    for name, mark in (("plain", ""), ("marked", MARK)):
        folder = tmp_path / name
        folder.mkdir()
        text, out = folder / "text", folder / "out"
        text.write_text(mark + corpus.train.read_text(encoding="utf-8"), encoding="utf-8")
        result = []
        for command in ("build_vocab data.c.path_src", "translate -src", "compress -src"):
            words = reads(corpus, trained, text, out)[command]
            assert main([str(word) for word in words]) == 0
            result.append(out.read_bytes())
            out.unlink()
        history = folder / "history.jsonl"
        words = [*reads(corpus, trained, text, out)["train data.c.path_src"], "-log_json", history]
        assert main([*map(str, words), "-train_steps", "10", "-report_every", "10"]) == 0
        result.append(history.read_bytes().partition(b'"nll"')[2])
        results.append(result)
    assert results[0] == results[1]
    assert MARK.encode() not in results[1][0]


CUT = {  # the pieces of a text of words, each a list of its pieces
    "subword-nmt": lambda words: " ".join("@@ ".join(pieces) for pieces in words),
    "sentencepiece": lambda words: " ".join("▁" + " ".join(pieces) for pieces in words),
    "spacer": lambda words: " ▁".join(" ".join(pieces) for pieces in words),
    "joiner": lambda words: " ".join(" ￭".join(pieces) for pieces in words),
    "joiner alone": lambda words: " ".join(" ￭ ".join(pieces) for pieces in words),
}
PIECES = st.lists(st.text("abé本.", min_size=1), min_size=1)


@pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
@given(words=st.lists(PIECES, min_size=2))
def test_words_are_the_same_however_they_are_cut(
    cut: Callable[[list[list[str]]], str], words: list[list[str]]
) -> None:
    whole = ["".join(pieces) for pieces in words]
    assert joined(cut(words)) == " ".join(whole) == joined(" ".join(whole))
    assert word_count(cut(words)) == len(words)


def test_marks_without_a_word_are_words() -> None:
    assert [word_count(line) for line in ("▁", "￭ ￭", "@@ @@", " ", "")] == [1, 2, 2, 0, 0]
