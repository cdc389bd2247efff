"""The experiments find what the theory says, and would find it out if it did not hold."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Capture, Mistake
from scaled_code import unit

from onmt_lattice.cli.main import main
from onmt_lattice.experiments.tables import show
from onmt_lattice.experiments.theory.crypto_lemma import compare, critical_value, kolmogorov_smirnov
from onmt_lattice.experiments.theory.curvature import SIGMAS, smooth_functions
from onmt_lattice.experiments.theory.estimates import Estimate, codeword_bits, estimate
from onmt_lattice.experiments.theory.experiments import EXPERIMENTS, PAPER_LATTICES, Settings
from onmt_lattice.experiments.theory.gaussian_limit import SNRS
from onmt_lattice.experiments.theory.rate_distortion import (
    PAPER,
    best_log_scale,
    points,
    shannon_bits,
    source_and_dither,
)
from onmt_lattice.experiments.theory.second_moments import CUBE, LIMIT
from onmt_lattice.lattices import lattice_names, make_lattice
from onmt_lattice.lattices.base import space_filling_loss

DOCS = Path(__file__).parent.parent / "docs"
FAR = 4.5  # standard errors: by chance one number in 150,000 is so far off
QUICK = ["Z", "A2", "E8"]


def rows(experiment: str, lattices: list[str], samples: int, seed: int = 0) -> Any:
    made = tuple(make_lattice(name) for name in lattices)
    return EXPERIMENTS[experiment].run(made, seed, samples).table.rows


# ---- estimates ----------------------------------------------------------------------------------


def test_estimate_is_the_mean_and_its_standard_error(rng: torch.Generator) -> None:
    found = [estimate(2 + 3 * torch.randn(400, generator=rng)) for _ in range(500)]
    means = np.array([e.mean for e in found])
    assert means.mean() == pytest.approx(2, abs=4 * 3 / math.sqrt(400 * 500))
    assert np.mean([e.standard_error for e in found]) == pytest.approx(3 / 20, rel=0.01)
    assert means.std() == pytest.approx(3 / 20, rel=0.15)


def test_controls_take_out_what_is_linear_in_them(rng: torch.Generator) -> None:
    controls = torch.randn(1000, 2, generator=rng)
    rest = 0.01 * torch.randn(1000, generator=rng)
    values = 5 + controls @ torch.tensor([3.0, -1.0]) + rest
    controlled = estimate(values, controls)
    assert abs(controlled.errors_from(5.0)) < FAR
    assert controlled.standard_error == pytest.approx(0.01 / math.sqrt(1000), rel=0.1)
    assert estimate(values).standard_error > 100 * controlled.standard_error


def test_estimates_are_shown_to_two_digits_of_their_error() -> None:
    for value, text in (
        (Estimate(0.716834, 0.00123), "0.7168 ± 0.0012"),
        (Estimate(3.4130428, 0.00000999), "3.413043 ± 0.000010"),
        (Estimate(123.4, 25.0), "123 ± 25"),
        (Estimate(1.0, 0.0), "1.0000 ± 0.0000"),
    ):
        assert show(value, ".4f") == text


# ---- the experiments ----------------------------------------------------------------------------


def test_both_systems_show_the_decoder_the_same(rng: torch.Generator) -> None:
    table = {row.wire: row for row in rows("figure2", ["Z"], 5000)}
    expected = {"E X²": 1, "E U²": 1, "E Y²": 2, "E X·Y": 1, "E (Y − X)²": 1}
    for wire, value in expected.items():
        assert abs(table[wire].inference.errors_from(value)) < FAR, wire
        assert abs(table[wire].training.errors_from(value)) < FAR, wire


def test_the_critical_value_keeps_its_level(rng: torch.Generator) -> None:
    passed = 0
    for _ in range(200):
        a, b = torch.rand(2, 300, 10, generator=rng)
        passed += bool(kolmogorov_smirnov(a, b).max() > critical_value(300, 10))
    assert passed <= 7  # 2 expected at most


@pytest.mark.parametrize("name", PAPER_LATTICES)
def test_the_crypto_lemma_holds_and_its_control_does_not(name: str) -> None:
    for row in rows("crypto", [name], 1500):
        # 1.2 times what one table in a hundred passes, one in about 5,000 passes.
        assert row.statistic < 1.2 * row.critical < row.control
        assert row.mean < FAR
        assert abs(row.quantized.errors_from(1.0)) < FAR
        assert abs(row.relaxed.errors_from(1.0)) < FAR


def test_the_crypto_lemma_needs_the_cell(rng: torch.Generator) -> None:
    """Dither on a cell of another lattice is found out."""
    lattice, wrong = unit("D4"), unit("Z^4")
    lattice.sample_dither = wrong.sample_dither  # type: ignore[method-assign]
    row = compare("0.3", torch.full((4,), 0.3).double(), lattice, Settings((), 5000, 0), 1)
    assert row.statistic > row.critical


@pytest.mark.parametrize("name", PAPER_LATTICES)
def test_both_sides_of_theorem_1_agree(name: str) -> None:
    for row in rows("theorem1", [name], 100):
        assert abs(row.apart) < FAR, row
        assert row.difference.standard_error < 0.06
        assert row.relaxed.mean > 1


@pytest.mark.parametrize("name", QUICK)
def test_lemma_2(name: str) -> None:
    found = rows("lemma2", [name], 20_000)
    assert {row.eta for row in found} == set(smooth_functions(1))
    for row in found:
        by_sigma = [getattr(row, field) for field in SIGMAS]
        if row.eta == "quadratic form":
            assert all(abs(ratio.errors_from(1.0)) < FAR for ratio in by_sigma)
        else:
            assert abs(by_sigma[0].errors_from(1.0)) > FAR  # where it is no limit yet
            assert abs(by_sigma[-1].mean - 1) < FAR * by_sigma[-1].standard_error + 0.01


@pytest.mark.parametrize("name", QUICK)
def test_moments(name: str) -> None:
    (row,) = rows("moments", [name], 100_000)
    assert abs(row.apart) < FAR
    assert row.nsm.standard_error < 0.004 * row.nsm.mean
    published = make_lattice(name).nsm
    share = 100 * (CUBE - published) / (CUBE - LIMIT)
    assert abs(row.share.errors_from(share)) < FAR
    assert abs(row.error.errors_from(100 * (published / CUBE - 1))) < FAR
    assert abs(row.loss.errors_from(space_filling_loss(published))) < FAR


# ---- rate and distortion ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "snr_db", "bits"),
    # Of a prototype with another quantizer and code; its own error is about 0.002.
    [("E8", 0, 0.647), ("E8", 20, 3.474), ("Leech", 0, 0.582), ("Leech", 20, 3.411)],
)
def test_rates_are_those_of_a_prototype(name: str, snr_db: int, bits: float) -> None:
    if name not in lattice_names():
        pytest.skip(f"no lattice {name}")
    (point,) = points(unit(name), snr_db, Settings((), 300, 0))
    assert abs(point.rate.mean - bits) < 0.003 + 2 * point.rate.standard_error
    assert point.rate.standard_error < 0.002


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("snr_db", [-10, 0, 10])
def test_rate_is_between_shannon_and_theory(name: str, snr_db: int) -> None:
    lattice = unit(name)
    for point in points(lattice, snr_db, Settings((), 500, 0)):
        snr = 10 ** (snr_db / 10)
        assert point.excess.mean > FAR * point.excess.standard_error
        assert point.rate.errors_from(point.ecdq) < FAR
        assert abs(point.distortion.errors_from(1 / (1 + snr))) < FAR
        assert point.shannon == shannon_bits(snr) == pytest.approx(math.log2(1 + snr) / 2)


def mutual_information_of_the_cubic_channel(snr: float) -> float:
    """Return I(X; X + U) in bits by numerical integration, for X ~ N(0, SNR) and unit dither."""
    width, s = math.sqrt(12), math.sqrt(snr)
    y = torch.linspace(-width - 9 * s, width + 9 * s, 200_001, dtype=torch.float64)
    cdf = torch.special.ndtr
    density = (cdf((y + width / 2) / s) - cdf((y - width / 2) / s)) / width
    return torch.trapezoid(-torch.xlogy(density, density), y).item() / math.log(2) - math.log2(
        width
    )


@pytest.mark.parametrize("snr_db", [-10, 0, 10])
def test_on_z_the_convolved_code_is_ideal_and_the_other_close(snr_db: int) -> None:
    ideal = mutual_information_of_the_cubic_channel(10 ** (snr_db / 10))
    by_code = {p.code: p.rate for p in points(unit("Z"), snr_db, Settings((), 1000, 0))}
    assert abs(by_code.pop(PAPER).errors_from(ideal)) < FAR
    (other,) = by_code.values()
    assert -FAR * other.standard_error < other.mean - ideal < 0.015 * ideal


def test_the_prior_scale_is_the_best(rng: torch.Generator) -> None:
    lattice = unit("D4")
    best = best_log_scale(lattice, 2.0, rng)
    x, u = source_and_dither(lattice, 2.0, 500, rng)

    def bits(log_s: float) -> float:
        return codeword_bits("discrete_gaussian", lattice, log_s, x - u, rng).mean().item()

    assert bits(best) < min(bits(best - 0.1), bits(best + 0.1))


def test_rates_approach_the_gaussian_channels() -> None:
    cube, octuple, trellis = rows("gaussianlimit", ["Z", "E8", "conv16-96"], 300)
    for field, snr in SNRS.items():
        excess = [getattr(row, field) for row in (cube, octuple, trellis)]
        assert excess[0].mean > excess[1].mean > excess[2].mean > 0
        if snr >= 1:
            for row, e in zip((cube, octuple, trellis), excess, strict=True):
                assert e.mean == pytest.approx(row.loss, abs=0.004 + FAR * e.standard_error)
    assert abs(cube.kurtosis.errors_from(-1.2)) < FAR
    assert cube.distance > octuple.distance
    assert cube.correlation == 0


# ---- the command --------------------------------------------------------------------------------


def test_numbers_do_not_depend_on_what_runs_beside() -> None:
    alone = rows("moments", ["E8"], 500)
    assert rows("moments", ["A2", "E8"], 500)[1] == alone[0]
    assert rows("moments", ["E8"], 500, seed=1) != alone


def test_command_writes_every_table_and_figure(tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "new" / "folder"
    words = ["-lattices", "Z", "A2", "-samples", "100", "-output", str(output), "-format", "svg"]
    assert main(["theory", *words]) == 0
    printed = capsys.readouterr().out
    for name in EXPERIMENTS:
        assert (output / f"{name}.txt").read_text(encoding="utf-8") in printed
        saved = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))
        assert saved["seed"] == 0
        assert all(list(row) == list(saved["columns"]) for row in saved["rows"])
    figures = {path.stem for path in output.glob("*.svg")}
    assert figures == {"figure1", "figure2", "ratedistortion", "gaussianlimit"}
    assert len(list(output.iterdir())) == 2 * len(EXPERIMENTS) + len(figures)


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    words = ["theory", "-experiments", "figure1", "crypto", "-lattices", "A2", "-samples", "100"]
    for folder in ("a", "b"):
        assert main([*words, "-format", "svg", "-output", str(tmp_path / folder)]) == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_mistakes_are_answered_in_a_line(tmp_path: Path, mistake: Mistake) -> None:
    for words, message in (
        (["-experiments", "theorem2"], "did you mean 'theorem1'?"),
        (["-lattices", "E9"], "unknown lattice 'E9'"),
        (["-lattices", "E8", "A5"], "-lattices A5: unevenblocks needs lattices whose dimension"),
        (["-format", "pdf"], "invalid choice: 'pdf'"),
    ):
        assert message in mistake("theory", "-output", tmp_path / "folder", *words)
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_documentation_shows_what_was_written(name: str) -> None:
    page = (DOCS / "theory.md").read_text(encoding="utf-8")
    text = (DOCS / "theory" / f"{name}.txt").read_text(encoding="utf-8")
    assert f"```text\n{text}```" in page
    saved = json.loads((DOCS / "theory" / f"{name}.json").read_text(encoding="utf-8"))
    assert saved["title"] in text
    for row in saved["rows"]:
        for value in row.values():
            assert not isinstance(value, dict) or Estimate(**value).text("") in text
    if (DOCS / "theory" / f"{name}.png").exists():
        assert f"](theory/{name}.png)" in page
