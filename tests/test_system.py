"""Every bottleneck really learns, and none spends fewer bits than there are; run on request."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from onmt_lattice.cli import main
from onmt_lattice.evaluation import Evaluation

ROOT = Path(__file__).parent.parent
STEPS = 2000
BOTTLENECKS = {
    "gaussian": ["gaussian"],
    "lattice_Z": ["lattice", "-lattice", "Z"],
    "lattice_E8": ["lattice", "-lattice", "E8"],
    "lattice_Leech": ["lattice", "-lattice", "Leech"],
    "ste_scalar": ["ste_scalar"],
    "ste_vector": ["ste_vector"],
}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("system") / "vocab.txt"
    config = str(ROOT / "configs/demo/common.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(["build_vocab", "-config", config, "-src_vocab", str(path)]) == 0
    return path


@pytest.mark.system
@pytest.mark.parametrize("name", BOTTLENECKS)
def test_it_learns_within_the_law(
    name: str, vocabulary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a representation no decoder's NLL is below H; with one, NLL must be well below."""
    monkeypatch.chdir(ROOT)
    words = ["-config", "configs/demo/common.yaml", "-src_vocab", str(vocabulary)]
    words += ["-save_model", str(tmp_path / "model"), "-train_steps", str(STEPS)]
    words += ["-bottleneck", *BOTTLENECKS[name]]
    assert main(["train", *words]) == 0
    result = tmp_path / "result.json"
    model = str(tmp_path / f"model_step_{STEPS}.pt")
    evaluate = ["evaluate", "-model", model, "-src", "data/grammar/test.en", "-output", str(result)]
    assert main(evaluate) == 0
    e = Evaluation.read(result)
    assert e.entropy is not None and e.entropy.holds
    assert e.nll.word < 0.8 * e.entropy.bits_word
    assert e.unknown_tokens == 0
    difference = e.rate_difference_bits_sentence
    assert abs(difference.mean) <= 4 * difference.standard_error
    assert dataclasses.asdict(e.rate)["word"] > 0.5
