"""What a transform cannot be built from is told in one line, in training and in counting words."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onmt.transforms
import pytest
from conftest import NEEDS_PYONMTTOK, Corpus

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.data.transforms import make_transforms

Mistake = Callable[..., str]
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
    corpus: Corpus, tmp_path: Path, mistake: Mistake, command: str, case: str
) -> None:
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
    said = mistake(command, "-config", config)
    assert expected in said
    assert all(f"-{name} {value}" in said for name, value in changes.items() if name in options)
    assert not list(tmp_path.glob("m_step*")) and not (tmp_path / "vocab.txt").exists()


def test_what_is_no_mistake_is_built_as_by_opennmt(tmp_path: Path) -> None:
    (tmp_path / "codes").write_bytes(FILES["codes"])
    path = str(tmp_path / "codes")
    opt = Namespace(
        **{f"{side}_subword_{name}": value for side in ("src", "tgt") for name, value in
           {"model": path, "vocab": "", "alpha": 0.0, "nbest": 1}.items()},
        **{"src_vocab_threshold": 0, "tgt_vocab_threshold": 0, "share_vocab": True, "seed": 1},
    )  # fmt: skip
    classes = onmt.transforms.get_transforms_cls(["bpe"])
    built = make_transforms(opt, classes, None)
    assert list(built) == ["bpe"] and type(built["bpe"]) is classes["bpe"]
    example = {"src": ["ab"], "tgt": ["ab"]}
    assert built["bpe"].apply(example)["src"] == ["a@@", "b"]
    opt.src_subword_model = str(tmp_path / "none")
    with pytest.raises(UserError, match=r"transform bpe of -src_subword_model \S*none: .*No such"):
        make_transforms(opt, classes, None)


@pytest.mark.parametrize("command", ["train", "build_vocab"])
def test_a_missing_pyonmttok(
    corpus: Corpus,
    tmp_path: Path,
    mistake: Mistake,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setitem(sys.modules, "pyonmttok", None)
    config = corpus.yaml(
        *(tmp_path / "a.yaml",), transforms=["onmt_tokenize"], save_model=str(tmp_path / "m"),
        src_vocab=str(corpus.vocabulary if command == "train" else tmp_path / "vocab.txt"),
    )  # fmt: skip
    assert "expected pyonmttok, which has no wheels" in mistake(command, "-config", config)
    assert not list(tmp_path.glob("m_step*")) and not (tmp_path / "vocab.txt").exists()
