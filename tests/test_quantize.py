"""``quantize``: a checkpoint like any other, whose noise is a lattice's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Corpus

from onmt_lattice.cli import main
from onmt_lattice.opennmt.checkpoint import load_checkpoint

Mistake = Callable[..., str]
Trained = Callable[[str], Path]
FIT = 200


def quantize(model: Path, lattice: str, corpus: Corpus, output: Path, *more: str) -> Path:
    words = ["-model", model, "-lattice", lattice, "-src", corpus.train, "-output", output]
    assert main(["quantize", *map(str, words), "-fit_sentences", str(FIT), *more]) == 0
    return output


def evaluated(model: Path, corpus: Corpus, output: Path) -> dict[str, Any]:
    words = ["-model", model, "-src", corpus.train, "-output", output]
    assert main(["evaluate", *map(str, words)]) == 0
    return json.loads(output.read_text())


@pytest.fixture(scope="session")
def e8(trained: Trained, corpus: Corpus) -> Path:
    """A Gaussian model with E8 in it."""
    return quantize(trained("gaussian"), "E8", corpus, corpus.folder / "e8_step_60.safetensors")


def test_it_costs_what_it_says_and_decodes_as_well(
    trained: Trained, corpus: Corpus, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = quantize(trained("gaussian"), "none", corpus, tmp_path / "g_step_60.safetensors")
    after = quantize(trained("gaussian"), "Z", corpus, tmp_path / "z_step_60.safetensors")
    gaussian, z = (evaluated(path, corpus, path.with_suffix(".json")) for path in (before, after))
    said = z["quantized"]
    cost = z["rate"]["sentence"] - gaussian["rate"]["sentence"]
    assert cost == pytest.approx(said["excess_bits"], rel=0.1)
    assert 0 < said["excess_bits"] < said["space_filling_loss"] * said["dim"]
    assert gaussian["rate"]["sentence"] == pytest.approx(said["gaussian_bits"], rel=0.05)
    assert z["nll"]["word"] == pytest.approx(gaussian["nll"]["word"], abs=0.05)
    assert f"{said['excess_bits']:.3f}" in capfd.readouterr().out
    assert (gaussian["bottleneck"], z["bottleneck"]) == ("gaussian", "lattice")


def test_fitting_the_prior_alone_lowers_the_rate_and_leaves_the_nll(
    trained: Trained, corpus: Corpus, tmp_path: Path
) -> None:
    fitted = quantize(trained("gaussian"), "none", corpus, tmp_path / "fitted_step_60.safetensors")
    before = evaluated(trained("gaussian"), corpus, tmp_path / "before.json")
    after = evaluated(fitted, corpus, tmp_path / "after.json")
    assert after["rate"]["sentence"] < before["rate"]["sentence"]
    assert after["nll"] == before["nll"]


def test_the_same_seed_gives_the_same_model(
    trained: Trained, corpus: Corpus, tmp_path: Path, e8: Path
) -> None:
    again, other = (tmp_path / f"{name}.safetensors" for name in ("again", "other"))
    quantize(trained("gaussian"), "E8", corpus, again)
    quantize(trained("gaussian"), "E8", corpus, other, "-seed", "1")
    first, second, third = (load_checkpoint(p)["model"] for p in (e8, again, other))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], third[key]) for key in first)


def test_it_translates(corpus: Corpus, tmp_path: Path, e8: Path) -> None:
    words = ["-model", e8, "-src", corpus.test, "-output", tmp_path / "out", "-max_length", 20]
    assert main(["translate", *map(str, words)]) == 0
    assert len((tmp_path / "out").read_text().splitlines()) == len(
        corpus.test.read_text().splitlines()
    )


@pytest.mark.parametrize("prior", ["learned", "unit"])
def test_training_goes_on_from_it_as_from_the_gaussian(
    corpus: Corpus, tmp_path: Path, prior: str
) -> None:
    changes = {"bottleneck_dim": 12, "train_steps": 30, "valid_steps": 30}
    config = corpus.yaml(
        tmp_path / "g.yaml", prior=prior, save_model=str(tmp_path / "g"), **changes
    )
    assert main(["train", "-config", str(config)]) == 0
    gaussian, model = (tmp_path / f"{name}_step_30.safetensors" for name in ("g", "e8"))
    quantize(gaussian, "E8", corpus, model)
    before = load_checkpoint(model)
    changes |= {"bottleneck": "lattice", "lattice": "E8", "train_steps": 40}
    config = corpus.yaml(tmp_path / "e.yaml", save_model=str(tmp_path / "e8"), **changes)
    assert main(["train", "-config", str(config), "-train_from", str(model)]) == 0
    after = load_checkpoint(tmp_path / "e8_step_40.safetensors")
    steps = after["optim"]["optimizer"]["state"]
    fresh = [name for name, state in steps.items() if float(state["step"]) < 40]
    assert fresh == ["encoder.bottleneck.channel.log_prior"]  # it alone is padded
    for key in ("encoder.bottleneck.channel.log_prior", "decoder.rnn.bias_ih_l0"):
        assert not torch.equal(before["model"][key], after["model"][key])


@pytest.mark.parametrize("name", ["none", "lattice_z", "ste_scalar"])
def test_what_has_no_gaussian_noise_is_refused(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake, name: str
) -> None:
    words = ("-lattice", "E8", "-src", corpus.train, "-output", tmp_path / "out.safetensors")
    said = mistake("quantize", "-model", trained(name), *words)
    kind = name.split("_z")[0]
    assert f"its bottleneck is {kind}; expected a model trained with -bottleneck gaussian" in said
    assert not (tmp_path / "out.safetensors").exists()


def test_mistakes_are_told_before_anything_is_written(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    few = tmp_path / "few.en"
    few.write_text("a dog\n" * 20)
    for words, message in (
        (("-lattice", "E9", "-src", corpus.train), "unknown lattice 'E9'"),
        (
            ("-lattice", "E8", "-src", corpus.train, "-lattice_code", "gaussian"),
            "unknown lattice code 'gaussian'; did you mean 'discrete_gaussian'?",
        ),
        (("-lattice", "E8", "-src", few), "20 sentences; expected at least 100"),
        (("-lattice", "E8", "-src", tmp_path / "no.en"), "no.en: cannot be read"),
        (("-lattice", "E8", "-src", corpus.train, "-seed", "-1"), "-seed -1: expected at least 0"),
        (
            ("-lattice", "E8", "-src", corpus.train, "-fit_sentences", "5"),
            "-fit_sentences 5: expected at least 100",
        ),
    ):
        model = ("-model", trained("gaussian"), "-output", tmp_path / "out.safetensors")
        assert message in mistake("quantize", *model, *words)
    assert not (tmp_path / "out.safetensors").exists()
