"""The paper's setting, in configs/paper: it is read strictly, and Figure 3 comes of it."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import miniature
import pytest
import torch
import yaml
from onmt.inputters.fields import build_dynamic_fields
from onmt.model_builder import build_model

from onmt_lattice.cli import main
from onmt_lattice.experiments.corpus import SPLITS, corpus_text
from onmt_lattice.experiments.report.results import Results
from onmt_lattice.opennmt.options.parsers import train_parser
from onmt_lattice.opennmt.options.parsing import parse
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.opennmt.training.launch import check_options

TOP = Path(__file__).parent.parent
CONFIGS = TOP / "configs"
CURVES = yaml.safe_load((CONFIGS / "paper/sweep.yaml").read_text(encoding="utf-8"))["curves"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder like the repository's top, with text and vocabulary of a few words."""
    top = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CONFIGS, top / "configs")
    text, vocabulary = top / "text.en", top / "vocab.txt"
    text.write_text("a b c\nb c\n", encoding="utf-8")
    vocabulary.write_text("a\t1\nb\t2\nc\t2\n", encoding="utf-8")
    data = {
        "data": {name: {"path_src": str(text)} for name in ("train", "valid")},
        "src_vocab": str(vocabulary),
    }
    (top / "data" / "wmt16").mkdir(parents=True)
    (top / "data" / "wmt16" / "data.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return top


TRAINED = [name for name, options in CURVES.items() if "quantize" not in options]


@pytest.mark.parametrize("curve", TRAINED)
def test_a_curve_of_the_paper_builds(curve: str, checkout: Path) -> None:
    words = ["-config", str(checkout / "configs/paper/common.yaml"), "-gpu_ranks"]  # on the CPU
    words += [word for name, value in CURVES[curve].items() for word in (f"-{name}", str(value))]
    opt = parse(train_parser, [*words, "-save_model", str(checkout / "model")])
    assert opt.gpu_ranks == []
    plugin.install()
    check_options(opt)
    train_parser().validate_prepare_opts(opt)
    model = build_model(opt, opt, build_dynamic_fields(opt, [], []), None)
    bottleneck = model.encoder.bottleneck
    assert bottleneck.name == opt.bottleneck
    assert bottleneck.input_dim == opt.rnn_size
    assert all(torch.isfinite(p).all() for p in bottleneck.parameters())


def test_the_quick_start_is_the_embedded_corpus() -> None:
    for split in SPLITS:
        text = (TOP / f"data/quickstart/{split}.en").read_text(encoding="utf-8")
        assert corpus_text(split).startswith(text) and text.endswith("\n")


SMALL = {"layers": 1, "rnn_size": 24, "word_vec_size": 16, "train_steps": 20, "batch_size": 8}
SMALL |= {"save_checkpoint_steps": 10, "valid_steps": 20, "rate_weight_midpoint": 10}
SHOWN = ("gaussian", "lattice Leech", "ste_scalar M=2")


def smaller(path: Path, **changes: Any) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False), encoding="utf-8")


@pytest.mark.usefixtures("forked_sweeps")
def test_figure_3_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From archives on a server to figure, table and report: a few curves of small models."""
    top = tmp_path / "checkout"
    shutil.copytree(CONFIGS, top / "configs")
    shutil.copytree(TOP / "scripts", top / "scripts")
    with miniature.serving(miniature.archives()) as server:
        words = ["-mirror", server.url, "-output", str(top / "data/wmt16"), "-merges", "40"]
        assert main(["prepare", "wmt16", *words, "-workers", "1"]) == 0
    smaller(top / "configs/paper/common.yaml", **SMALL)
    curves = {name: CURVES[name] for name in SHOWN}
    smaller(top / "configs/paper/sweep.yaml", curves=curves, evaluate_every=10)
    monkeypatch.chdir(top)
    monkeypatch.setattr("sys.argv", ["reproduce_figure3", "paper", "-gpus", "none"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(str(top / "scripts/reproduce_figure3"), run_name="__main__")
    made = top / "runs/paper"
    assert {"figure3.png", "table.txt", "report.html"} <= {path.name for path in made.iterdir()}
    results = Results.read(made / "results.json")
    points = [(run.curve, p.step) for run in results.runs for p in run.points]
    assert sorted(points) == sorted(
        (name, step) for name in (*SHOWN, "gaussian, refitted") for step in (10, 20)
    )
    lines = (top / "data/wmt16/newstest2014.en").read_text(encoding="utf-8").split("\n")
    pieces = [piece for line in lines for piece in line.split()]
    words_of_text = sum(not piece.endswith("@@") for piece in pieces)
    assert words_of_text < len(pieces)
    assert {p.evaluation.words for run in results.runs for p in run.points} == {words_of_text}
    assert {p.evaluation.tokens for run in results.runs for p in run.points} == {len(pieces) + 5}
