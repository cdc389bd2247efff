"""What is a sentence, and what is a word, in training, validation, evaluation and coding alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import Capture, Corpus, Mistake, lines_of, run, train

from onmt_lattice.files import write_lines
from onmt_lattice.opennmt.data.sentences import TokenIndex
from onmt_lattice.opennmt.model.autoencoder import SPECIAL

NOTHING = ("\u200b", "\u200e \ufeff", "\ufffd", "▁", "▁ \u200b")  # is left of these


class Made(NamedTuple):
    """A model, and a text with lines in it that are hard to read."""

    folder: Path
    model: Path
    text: Path
    lines: list[str]
    history: list[dict[str, Any]]


def made(corpus: Corpus, folder: Path, extra: list[str], *words: str, **changes: Any) -> Made:
    """Return a model trained and validated on a text whose second half are ``extra`` lines."""
    lines = [line for pair in zip(lines_of(len(extra), 7), extra, strict=True) for line in pair]
    text = folder / "text"
    write_lines(text, lines)
    data = {"c": {"path_src": str(text)}, "valid": {"path_src": str(text)}}
    config = corpus.yaml(
        folder / "a.yaml",
        **{"data": data, "src_vocab": str(folder / "vocab"), "save_model": str(folder / "m")},
        **{"train_steps": 2, "valid_steps": 2, "batch_size": 4, "bottleneck": "lattice"},
        **{"lattice": "Z", "log_json": str(folder / "log"), **changes},
    )
    run("build_vocab", "-config", config)
    train(config, *words)
    history = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    return Made(folder, folder / "m_step_2.safetensors", text, lines, history)


@pytest.fixture(scope="module")
def special(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Of a text that has the special tokens as words, in every position."""
    extra = [f"{t} a {t} {t} dog {t}" for t in sorted(SPECIAL)] + sorted(SPECIAL)
    return made(corpus, tmp_path_factory.mktemp("special"), extra)


@pytest.fixture(scope="module")
def pieces(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Of a text with lines of which its segmentation leaves nothing."""
    folder = tmp_path_factory.mktemp("pieces")
    model = str(corpus.subwords(folder / "p"))
    changes = {"transforms": ["sentencepiece"], "src_subword_model": model}
    return made(corpus, folder, list(NOTHING), **changes)


@pytest.fixture(params=["special", "pieces"])
def any_made(request: pytest.FixtureRequest) -> Made:
    found: Made = request.getfixturevalue(request.param)
    return found


def evaluated(made: Made, *words: str) -> dict[str, Any]:
    output = made.folder / "e.json"
    output.unlink(missing_ok=True)
    run("evaluate", "-model", made.model, "-src", made.text, "-output", output, "-seed", 1, *words)
    result: dict[str, Any] = json.loads(output.read_text())
    return result


def test_validation_costs_what_evaluation_does(any_made: Made) -> None:
    (valid,) = [entry for entry in any_made.history if entry["event"] == "valid"]
    result = evaluated(any_made)
    assert valid["nll"] == pytest.approx(result["nll"]["token"], rel=1e-5)
    assert valid["rate"] == pytest.approx(result["rate"]["token"], rel=1e-5)


def test_any_text_comes_back_byte_for_byte(any_made: Made) -> None:
    model, text = any_made.model, any_made.text
    packed, back = any_made.folder / "packed", any_made.folder / "back"
    run("compress", "-model", model, "-src", text, "-output", packed, "-lossless")
    run("decompress", "-model", model, "-input", packed, "-output", back)
    assert back.read_bytes() == text.read_bytes()


def test_special_tokens_are_unknown_words(special: Made) -> None:
    vocabulary = [line.split("\t")[0] for line in (special.folder / "vocab").open()]
    assert not SPECIAL & set(vocabulary)
    index = TokenIndex(["<unk>", "<blank>", "<s>", "</s>", "a"])
    assert [index[t] for t in ("a", "b", *sorted(SPECIAL))] == [4, 0, 0, 0, 0, 0]
    assert "a" in index and "b" not in index and not SPECIAL & set(index)
    result = evaluated(special)
    words = [word for line in special.lines for word in line.split()]
    assert result["tokens"] == len(words) + len(special.lines)
    assert result["unknown_tokens"] == sum(word in SPECIAL for word in words)


def test_a_line_of_which_nothing_is_left_is_empty(
    pieces: Made, tmp_path: Path, capfd: Capture
) -> None:
    assert all(line.strip("\n").split("\t")[0] for line in (pieces.folder / "vocab").open())
    result = evaluated(pieces, "-coded")
    assert (result["sentences"], result["empty_lines"]) == (len(NOTHING), len(NOTHING))
    words = ("-model", pieces.model, "-src", pieces.text, "-output")
    out, packed, back, rows = (tmp_path / name for name in ("out", "olz", "back", "v.npy"))
    run("translate", *words, out)
    run("compress", *words, packed)
    run("decompress", *words[:2], "-input", packed, "-output", back)
    for path in (out, back):
        lines = path.read_text().split("\n")
        assert len(lines) == 2 * len(NOTHING) + 1 and not any(lines[1::2])
    run("encode", *words, rows)
    assert f"{len(NOTHING)} of empty lines" in capfd.readouterr().err
    assert np.isnan(np.load(rows)).all(1).tolist() == [False, True] * len(NOTHING)


def test_a_text_of_nothing_else_has_no_sentence(
    pieces: Made, tmp_path: Path, mistake: Mistake
) -> None:
    text = tmp_path / "text"
    write_lines(text, [*NOTHING, ""])
    for command in ("evaluate", "translate"):
        said = mistake(command, "-model", pieces.model, "-src", text, "-output", tmp_path / "o")
        assert f"-src {text}: no sentence in it" in said


def test_an_empty_line_ends_training_where_it_is_to(pieces: Made, mistake: Mistake) -> None:
    for command, *words in (
        ("train", "-save_model", pieces.folder / "n"),
        ("build_vocab", "-src_vocab", pieces.folder / "n"),
    ):
        words = [*words, "-skip_empty_level", "error", "-config", pieces.folder / "a.yaml"]
        said = mistake(command, *words)
        assert "data.c.path_src: line " in said and "-skip_empty_level warning skips" in said
        write_lines(pieces.folder / "long", ["a dog", "a" * 10_000])
        data = f"{{c: {{path_src: {pieces.folder / 'long'}}}}}"
        said = mistake(command, *words, "-data", data)
        assert "line 2 (or its target) is empty or has more than 8,192 characters" in said
