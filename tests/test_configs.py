"""Every configuration in configs/ is read strictly and builds its model."""

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
CURVES = sorted(p for p in CONFIGS.glob("*/*.yaml") if p.stem != "common" and "sweep" not in p.stem)


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


@pytest.mark.parametrize("path", CURVES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_it_loads_and_builds(path: Path, checkout: Path) -> None:
    data = yaml.safe_load((checkout / "data/wmt16/data.yaml").read_text(encoding="utf-8"))
    words = ["-config", str(checkout / path.relative_to(CONFIGS.parent))]
    words += ["-data", str(data["data"]), "-src_vocab", data["src_vocab"]]
    opt = parse(train_parser, words)
    opt.gpu_ranks = []  # the paper's setting names a GPU; there may be none here
    plugin.install()
    check_options(opt)
    train_parser().validate_prepare_opts(opt)
    model = build_model(opt, opt, build_dynamic_fields(opt, [], []), None)
    bottleneck = model.encoder.bottleneck
    assert bottleneck.name == opt.bottleneck
    assert bottleneck.input_dim == opt.rnn_size
    assert all(torch.isfinite(p).all() for p in bottleneck.parameters())


@pytest.mark.parametrize("path", CURVES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_it_says_only_what_is_its_own(path: Path) -> None:
    own = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert own["base"] == "common.yaml"
    assert Path(own["save_model"]).parts == ("runs", path.parent.name, path.stem, "model")
    assert len(own) <= 6


def test_the_papers_setting() -> None:
    common = yaml.safe_load((CONFIGS / "wmt16/common.yaml").read_text(encoding="utf-8"))
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
