"""Lattices from convolutional codes: what the laws of all lattices do not say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from conftest import SCRIPTS, Capture, generator

from onmt_lattice.lattices import ConvolutionalLattice, make_lattice
from onmt_lattice.lattices.generators import GENERATORS


def of_dim(name: str, n: int) -> ConvolutionalLattice:
    """Return the lattice ``name`` in n dimensions."""
    lattice = make_lattice(name, n=n)
    assert isinstance(lattice, ConvolutionalLattice)
    return lattice


@pytest.mark.parametrize("name", GENERATORS)
def test_the_points_are_the_integers_whose_residues_are_words(name: str) -> None:
    lattice = of_dim(name, GENERATORS[name].min_dim)
    q, sections = lattice.encoder.q, lattice.encoder.sections
    messages = torch.randint(q, (200, sections), generator=generator())
    words = lattice.encoder.word(messages)
    shift = q * torch.randint(-5, 6, words.shape, generator=generator())
    assert lattice.contains((words + shift).double()).all()
    assert torch.equal(lattice.encoder.message(words), messages)
    off = words.clone()
    off[:, 3] += 1  # no two words differ at one place only
    assert not lattice.contains(off.double()).any()


@pytest.mark.parametrize("name", ["conv64-500", "z4conv256-500"])
def test_hundreds_of_dimensions(name: str) -> None:
    lattice = make_lattice(name).with_second_moment(1.0)
    u = lattice.sample_dither((100,), generator(), dtype=torch.float64)
    moments = u.square().mean(-1)
    assert abs(moments.mean() - 1) < 4 * moments.std() / len(u) ** 0.5 + 2e-3
    z = lattice.point(torch.randint(-9, 10, (20, 500), generator=generator()))
    assert lattice.contains(z).all() and not lattice.contains(z + 0.01).any()
    assert lattice.log_volume == pytest.approx(
        torch.linalg.slogdet(lattice.basis).logabsdet.item(), rel=1e-12
    )
    x = z + 3 * torch.randn(z.shape, generator=generator(), dtype=torch.float64)
    moved = lattice.nearest_point(x + z)
    torch.testing.assert_close(moved, lattice.nearest_point(x) + z, rtol=0, atol=1e-9)


def test_a_volume_beyond_all_floats_does_no_harm() -> None:
    lattice = ConvolutionalLattice(4, 3000).with_second_moment(1.0)
    assert lattice.volume == float("inf")
    assert lattice.second_moment == pytest.approx(1.0)
    u = lattice.sample_dither((3,), generator())
    assert u.square().mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_dithers_second_moment_at_the_least_dimensions(name: str) -> None:
    least = GENERATORS[name].min_dim
    for lattice in of_dim(name, least), of_dim(name, least + 2):
        u = lattice.with_second_moment(1.0).sample_dither((8_000,), generator(), torch.float64)
        moments = u.square().mean(1)
        assert abs(moments.mean() - 1) < 4 * moments.std() / len(u) ** 0.5 + 3e-3


def test_the_second_moments_of_the_ends_are_measured() -> None:
    lattice = ConvolutionalLattice(16, 64).with_second_moment(1.0)
    squares = lattice.sample_dither((20_000,), generator(1), torch.float64).square()
    errors = squares.std(0) / len(squares) ** 0.5
    assert ((squares.mean(0) - lattice.second_moments) / errors).abs().max() < 4.5
    assert lattice.second_moments.mean() == pytest.approx(1, abs=3e-3)
    assert lattice.second_moments.max() > 1.2


def test_a_search_that_was_stopped_resumes(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = runpy.run_path(str(SCRIPTS / "search_generators.py"))
    monkeypatch.setitem(script["search"].__globals__, "FRESH", 4000)
    printed = []
    for kept in (None, 0, 5, 10**6):
        scores = tmp_path / "scores.jsonl"
        if kept is not None:
            lines = scores.read_text().splitlines()
            scores.write_text("".join(line + "\n" for line in lines[:kept]))
        script["search"](4, 1, 40, 1, scores)
        printed.append((capsys.readouterr().out, scores.read_text()))
    assert set(printed) == {printed[0]}
