"""A lattice in place of a Gaussian model's noise: its cost, and a checkpoint like any other."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Capture, Corpus, Mistake, Trained, normal, run, train
from torch import Tensor

from onmt_lattice.bottlenecks import LatticeChannel
from onmt_lattice.bottlenecks.gaussian_to_lattice import (
    Quantization,
    fit_gaussian,
    quantize_gaussian,
)
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import make_lattice
from onmt_lattice.noise import SentenceNoise
from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint

FIT = 200


def quantize(model: Path, lattice: str, corpus: Corpus, output: Path, *more: str) -> Path:
    words = ["-model", model, "-lattice", lattice, "-src", corpus.train, "-output", output]
    run("quantize", *words, "-fit_sentences", FIT, *more)
    return output


def evaluated(model: Path, corpus: Corpus, output: Path) -> dict[str, Any]:
    run("evaluate", "-model", model, "-src", corpus.train, "-output", output)
    return json.loads(output.read_text())


@pytest.fixture(scope="session")
def e8(trained: Trained, corpus: Corpus) -> Path:
    """A Gaussian model with E8 in it."""
    return quantize(trained("gaussian"), "E8", corpus, corpus.folder / "e8_step_60.safetensors")


def test_a_checkpoint_on_standard_output_is_that_of_a_file(
    trained: Trained, e8: Path, corpus: Corpus, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    quantize(trained("gaussian"), "E8", corpus, Path("-"))
    out, err = capfdbinary.readouterr()
    assert out == e8.read_bytes() and b"E8, over that" in err


def test_it_costs_what_it_says_and_decodes_as_well(
    trained: Trained, corpus: Corpus, tmp_path: Path, capfd: Capture
) -> None:
    before = quantize(trained("gaussian"), "none", corpus, tmp_path / "g_step_60.safetensors")
    after = quantize(trained("gaussian"), "Z", corpus, tmp_path / "z_step_60.safetensors")
    gaussian, z = (evaluated(path, corpus, path.with_suffix(".json")) for path in (before, after))
    trained_one = evaluated(trained("gaussian"), corpus, tmp_path / "trained.json")
    assert gaussian["rate"]["sentence"] < trained_one["rate"]["sentence"]  # its prior is fitted
    assert gaussian["nll"] == trained_one["nll"]
    said = z["quantized"]
    cost = z["rate"]["sentence"] - gaussian["rate"]["sentence"]
    assert cost == pytest.approx(said["excess_bits"], rel=0.1)
    assert 0 < said["excess_bits"] < said["space_filling_loss"] * said["dim"]
    assert gaussian["rate"]["sentence"] == pytest.approx(said["gaussian_bits"], rel=0.05)
    assert z["nll"]["word"] == pytest.approx(gaussian["nll"]["word"], abs=0.05)
    assert f"{said['excess_bits']:.3f}" in capfd.readouterr().out
    assert (gaussian["bottleneck"], z["bottleneck"]) == ("gaussian", "lattice")


def test_the_same_seed_gives_the_same_model(
    trained: Trained, corpus: Corpus, tmp_path: Path, e8: Path
) -> None:
    again, other = (tmp_path / f"{name}.safetensors" for name in ("again", "other"))
    quantize(trained("gaussian"), "E8", corpus, again)
    quantize(trained("gaussian"), "E8", corpus, other, "-seed", "1")
    first, second, third = (load_checkpoint(p)["model"] for p in (e8, again, other))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], third[key]) for key in first)


@pytest.mark.parametrize(("prior", "average"), [("learned", 0.0), ("learned", 0.1), ("unit", 0.1)])
def test_training_goes_on_from_it_as_from_the_gaussian(
    corpus: Corpus, tmp_path: Path, prior: str, average: float
) -> None:
    changes = {"bottleneck_dim": 12, "train_steps": 30, "valid_steps": 30, "average_decay": average}
    config = corpus.yaml(
        tmp_path / "g.yaml", prior=prior, save_model=str(tmp_path / "g"), **changes
    )
    train(config)
    gaussian, model = (tmp_path / f"{name}_step_30.safetensors" for name in ("g", "e8"))
    quantize(gaussian, "E8", corpus, model)
    before = load_checkpoint(model)
    changes |= {"bottleneck": "lattice", "lattice": "E8", "train_steps": 40}
    config = corpus.yaml(tmp_path / "e.yaml", save_model=str(tmp_path / "e8"), **changes)
    train(config, "-train_from", model)
    after = load_checkpoint(tmp_path / "e8_step_40.safetensors")
    steps = after["optim"]["optimizer"]["state"]
    fresh = [name for name, state in steps.items() if float(state["step"]) < 40]
    assert fresh == ["encoder.bottleneck.channel.log_prior"]  # it alone is padded
    for key in ("encoder.bottleneck.channel.log_prior", "decoder.rnn.bias_ih_l0"):
        assert not torch.equal(before["model"][key], after["model"][key])


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
    ):
        model = ("-model", trained("gaussian"), "-output", tmp_path / "out.safetensors")
        assert message in mistake("quantize", *model, *words)
    for name in ("none", "lattice_z", "ste_scalar"):
        words = ("-model", trained(name), "-lattice", "E8", "-src", corpus.train, *model[2:])
        said = mistake("quantize", *words)
        assert f"its bottleneck is {name.split('_z')[0]}; expected a model trained with" in said
    assert not (tmp_path / "out.safetensors").exists()


F64 = torch.float64
D, ROWS = 24, 400
NAMES = ["Z", "A2", "E8"]


def model(d: int = D, snr: float | None = None) -> tuple[Tensor, Tensor]:
    """Return means (rows, d) off centre and uneven, or all of one ``snr``, and sigma (d,)."""
    sigma = 0.1 + normal(d, seed=1).abs()
    ratios = torch.full((d,), snr, dtype=F64) if snr else torch.logspace(1.5, -1.5, d, dtype=F64)
    ratios = ratios[torch.randperm(d, generator=torch.Generator().manual_seed(2))]
    return normal(d, seed=3) + normal(ROWS, d) * ratios.sqrt() * sigma, sigma


@cache
def fitted_to_model(lattice: str) -> Quantization:
    """Return the quantization of :func:`model`; who changes its channel, changes it back."""
    return quantize_gaussian(*model(), lattice)


def noise(seed: int, rows: int = ROWS) -> SentenceNoise:
    return SentenceNoise(seed, list(range(rows)))


@pytest.mark.parametrize("lattice", NAMES)
def test_the_cost_is_the_space_filling_loss_where_all_coordinates_are_informative(
    lattice: str,
) -> None:
    fitted = quantize_gaussian(*model(snr=1000.0), lattice)
    loss = make_lattice(lattice).space_filling_loss * D * math.log(2)
    assert fitted.excess_nats == pytest.approx(loss, rel=0.05)
    assert fitted.theory_nats == pytest.approx(loss, rel=0.05)


@pytest.mark.parametrize("lattice", NAMES)
def test_a_gaussian_model_pays_what_theory_says_and_less_than_the_loss(lattice: str) -> None:
    fitted = fitted_to_model(lattice)
    loss = make_lattice(lattice).space_filling_loss * D * math.log(2)
    assert 0.5 * loss < fitted.theory_nats < loss
    assert fitted.excess_nats == pytest.approx(fitted.theory_nats, rel=0.1)


@pytest.mark.parametrize("lattice", NAMES)
def test_codewords_cost_what_the_quantization_says(lattice: str) -> None:
    means, _ = model()
    fitted = fitted_to_model(lattice)
    rates = [fitted.channel.quantized(means, noise(s)).rate_nats.detach() for s in range(1, 6)]
    got = torch.stack(rates).mean(0)
    expected = fitted.gaussian_nats + fitted.excess_nats
    error = got.std().item() / math.sqrt(ROWS)
    assert got.mean().item() == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("lattice", NAMES)
def test_what_the_decoder_gets_has_the_gaussians_mean_and_variance(lattice: str) -> None:
    means, sigma = model()
    channel = fitted_to_model(lattice).channel
    errors = torch.cat(
        [channel.quantized(means, noise(s)).value.detach() - means for s in range(1, 6)]
    )
    apart = errors.mean(0) / (errors.std(0) / math.sqrt(len(errors)))
    assert apart.abs().max() < 4.5
    torch.testing.assert_close(errors.var(0), sigma.square(), rtol=0.15, atol=0)


def test_the_gaussians_prior_is_the_best_for_the_data() -> None:
    means, sigma = model()
    channel = fit_gaussian(means, sigma)
    best = channel.rate_nats(means).mean()
    with torch.no_grad():
        for tensor in (channel.center, channel.log_prior):
            for change in (-0.1, 0.1):
                tensor += change
                assert channel.rate_nats(means).mean() > best
                tensor -= change
    informed = 0.5 * torch.log1p(means.var(0, correction=0) / sigma.square()).sum()
    assert best.item() == pytest.approx(informed.item(), rel=0.02)


@pytest.mark.parametrize("lattice", NAMES)
def test_the_prior_scales_are_the_best_for_the_data(lattice: str) -> None:
    means, _ = model()
    channel = fitted_to_model(lattice).channel
    assert isinstance(channel, LatticeChannel)
    y = channel.dithered(means, noise(0)).detach()
    best = channel.rate_nats(y, noise(0)).mean().item()
    with torch.no_grad():
        for change in (-0.05, 0.05):
            channel.log_prior += change
            assert channel.rate_nats(y, noise(0)).mean().item() > best
            channel.log_prior -= change


def test_coordinates_of_alike_signal_to_noise_stand_together() -> None:
    means, sigma = model(d=16)
    channel = quantize_gaussian(means, sigma, "E8").channel
    assert isinstance(channel, LatticeChannel)
    ratios = (means.var(0) / sigma.square())[channel.permutation]
    assert ratios[:8].min() >= ratios[8:].max()


def test_a_dimension_that_the_lattice_does_not_divide_is_padded() -> None:
    means, sigma = model(d=10)
    fitted = quantize_gaussian(means, sigma, "E8")
    sent = fitted.channel.quantized(means, noise(0))
    assert sent.value.shape == (ROWS, 10) and sent.symbols is not None
    assert sent.symbols.shape == (ROWS, 16)
    assert fitted.excess_nats < quantize_gaussian(means, sigma, "Z").excess_nats


@pytest.mark.parametrize(
    ("means", "sigma", "message"),
    [
        (torch.zeros(1, 3), torch.ones(3), "at least two rows"),
        (torch.zeros(5, 3), torch.ones(4), "expected (rows, d) and (d,)"),
        (torch.full((5, 3), math.nan), torch.ones(3), "expected finite numbers"),
        (torch.zeros(5, 3), torch.zeros(3), "every sigma above 0"),
    ],
)
def test_data_that_cannot_be_fitted_is_refused(means: Tensor, sigma: Tensor, message: str) -> None:
    with pytest.raises(UserError) as error:
        quantize_gaussian(means, sigma, "Z")
    assert message in str(error.value)
