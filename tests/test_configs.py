"""The paper's setting, in configs/paper, is read strictly and builds the model of each curve."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from onmt.inputters.fields import build_dynamic_fields
from onmt.model_builder import build_model

from onmt_lattice.opennmt import plugin
from onmt_lattice.opennmt.options import train_parser
from onmt_lattice.opennmt.parsing import parse
from onmt_lattice.opennmt.training import check_options

CONFIGS = Path(__file__).parent.parent / "configs"
LATTICES = {"Z", "A2", "E8", "BW16", "Leech"}
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


@pytest.mark.parametrize("curve", CURVES)
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


def test_the_paper_has_every_kind_of_curve() -> None:
    options = [curve.items() for curve in CURVES.values()]
    assert {o["lattice"] for o in CURVES.values() if "lattice" in o} == LATTICES
    assert len({tuple(sorted(o)) for o in options}) == len(options)


def test_the_papers_setting() -> None:
    common = yaml.safe_load((CONFIGS / "paper/common.yaml").read_text(encoding="utf-8"))
    expected = {
        "layers": 2,
        "rnn_size": 500,
        "bottleneck_site": "top",
        "global_attention": "none",
        "batch_size": 64,
        "optim": "adam",
        "learning_rate": 1e-4,
        "learning_rate_decay": 0.75,
        "start_decay_steps": 100_000,
        "decay_steps": 50_000,
        "train_steps": 500_000,
        "rate_weight_schedule": "logistic",
        "rate_weight_midpoint": 100_000,
    }
    assert {key: common[key] for key in expected} == expected
