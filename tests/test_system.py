"""Every bottleneck really learns, and none spends fewer bits than there are; run on request."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from onmt_lattice.cli import main
from onmt_lattice.evaluation.result import Evaluation
from onmt_lattice.experiments.corpus import write_corpus
from onmt_lattice.experiments.demo.demo import CONFIG

MODEL = CONFIG.with_name("common.yaml")
STEPS = 2000
BOTTLENECKS = {
    "gaussian": ["gaussian"],
    "lattice_Z": ["lattice", "-lattice", "Z"],
    "lattice_E8": ["lattice", "-lattice", "E8"],
    "lattice_Leech": ["lattice", "-lattice", "Leech"],
    "ste_scalar": ["ste_scalar"],
    "ste_vector": ["ste_vector"],
}


def data(folder: Path) -> str:
    """Return what -data says of the embedded corpus in ``folder``."""
    texts = {name: {"path_src": str(folder / f"{name}.en")} for name in ("train", "valid")}
    return json.dumps(texts)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("system") / "vocab.txt"
    write_corpus(path.parent)
    words = ["-config", str(MODEL), "-data", data(path.parent), "-src_vocab", str(path)]
    assert main(["build_vocab", *words]) == 0
    return path


@pytest.mark.system
@pytest.mark.parametrize("name", BOTTLENECKS)
def test_it_learns_within_the_law(name: str, vocabulary: Path, tmp_path: Path) -> None:
    """Without a representation no decoder's NLL is below H; with one, NLL must be well below."""
    text = vocabulary.parent
    words = ["-config", str(MODEL), "-data", data(text), "-src_vocab", str(vocabulary)]
    words += ["-save_model", str(tmp_path / "model"), "-train_steps", str(STEPS)]
    words += ["-rate_weight", "0.1", "-bottleneck", *BOTTLENECKS[name]]
    assert main(["train", *words]) == 0
    result = tmp_path / "result.json"
    model = str(tmp_path / f"model_step_{STEPS}.safetensors")
    evaluate = ["evaluate", "-model", model, "-src", str(text / "test.en"), "-output", str(result)]
    assert main(evaluate) == 0
    e = Evaluation.read(result)
    assert e.entropy is not None and e.entropy.holds
    assert e.nll.word < 0.8 * e.entropy.bits_word
    assert e.unknown_tokens == 0
    difference = e.rate_difference_bits_sentence
    assert abs(difference.mean) <= 4 * difference.standard_error
    assert dataclasses.asdict(e.rate)["word"] > 0.5
