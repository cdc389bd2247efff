"""Triton's kernels: on a GPU where there is one, else interpreted, and compiled for two GPUs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import SCRIPTS
from torch import Tensor

from onmt_lattice.lattices import ConvolutionalLattice, convolutional
from onmt_lattice.lattices.trellis import LOG_SUM

triton = pytest.importorskip("triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MEMBERS = [(4, 8), (16, 20), (64, 24), (9, 20), (25, 16)]  # of 2, 3 and 5 elements
Sums = Callable[[Tensor, Tensor], Tensor]


@contextmanager
def by_triton() -> Iterator[None]:
    """Let lattices use the kernels on ``DEVICE``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolutional, "triton_runs_on", lambda device: device.type == DEVICE)
        yield


def points_and_scales(lattice: ConvolutionalLattice, count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = 9 * torch.randn(count, lattice.dim, generator=generator, dtype=torch.float64)
    log_s = torch.randn(count, lattice.dim, generator=generator, dtype=torch.float64)
    return y, 0.4 * log_s - 0.3


def nearest(lattice: ConvolutionalLattice, x: Tensor) -> Tensor:
    with by_triton():
        return lattice.nearest_point(x.to(DEVICE)).cpu()


def sums_and_gradients(sums: Sums, y: Tensor, log_s: Tensor) -> tuple[Tensor, ...]:
    """Return the sums at the points, and the gradients of a weighted sum of them."""
    y, log_s = (v.detach().requires_grad_() for v in (y, log_s))
    value = sums(y, log_s)
    weights = torch.linspace(-1, 2, len(value)).to(value)
    return value.detach().cpu(), *(
        g.cpu() for g in torch.autograd.grad(value @ weights, (y, log_s))
    )


def folded(lattice: ConvolutionalLattice, y: Tensor, log_s: Tensor) -> tuple[Tensor, ...]:
    return sums_and_gradients(lambda *at: lattice._fold(*at, LOG_SUM), y, log_s)


def summed(lattice: ConvolutionalLattice, y: Tensor, log_s: Tensor) -> tuple[Tensor, ...]:
    with by_triton():
        return sums_and_gradients(lattice.log_theta, y.to(DEVICE), log_s.to(DEVICE))


@pytest.mark.parametrize("states, n", MEMBERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_points_are_those_of_the_host(states: int, n: int, dtype: torch.dtype) -> None:
    lattice = ConvolutionalLattice(states, n)
    x = points_and_scales(lattice, 5)[0].to(dtype)
    assert torch.equal(nearest(lattice, x), lattice.nearest_point(x))


def test_dither_is_that_of_the_host() -> None:
    lattice = ConvolutionalLattice(16, 24).with_second_moment(1.0)
    uniforms = torch.rand(3, 2, 24, generator=torch.Generator().manual_seed(0))
    with by_triton():
        u = lattice.dither(uniforms.to(DEVICE)).cpu()
    torch.testing.assert_close(u, lattice.dither(uniforms), rtol=0, atol=1e-5)


def test_points_that_are_no_numbers_have_no_nearest_point() -> None:
    lattice = ConvolutionalLattice(9, 20)
    x, _ = points_and_scales(lattice, 4)
    x[0, 3], x[1, 0], x[2] = torch.nan, torch.inf, -torch.inf
    found = nearest(lattice, x)
    assert found[:3].isnan().all() and torch.equal(found[3:], lattice.nearest_point(x[3:]))


def test_no_points() -> None:
    lattice, none = ConvolutionalLattice(4, 8), torch.zeros(0, 8)
    assert nearest(lattice, none).shape == (0, 8)
    value, by_y, by_s = summed(lattice, none, none)
    assert value.shape == (0,) and by_y.shape == by_s.shape == (0, 8)


@pytest.mark.parametrize("states, n", MEMBERS)
def test_sums_and_gradients_are_those_of_the_eager_fold(states: int, n: int) -> None:
    lattice = ConvolutionalLattice(states, n)
    at = points_and_scales(lattice, 3)
    for got, expected in zip(summed(lattice, *at), folded(lattice, *at), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("states, n", MEMBERS)
@pytest.mark.parametrize("width", [-2.0, 2.0])
def test_float32_is_as_exact_as_the_eager_fold(states: int, n: int, width: float) -> None:
    """Errors of both are mostly those of the classes' weights, which are the same."""
    lattice = ConvolutionalLattice(states, n)
    y, log_s = (v.float() for v in points_and_scales(lattice, 2))
    exact = folded(lattice, y.double(), (log_s + width).double())
    eager = folded(lattice, y, log_s + width)
    for got, other, right in zip(summed(lattice, y, log_s + width), eager, exact, strict=True):
        assert got.dtype == torch.float32
        slack = 2e-6 * right.abs().max() + 1e-6
        assert (got - right).abs().max() <= (other - right).abs().max() + slack


def test_scales_of_all_sizes_in_one_point() -> None:
    """Narrow ones weigh a class by e^-1000 and less."""
    lattice = ConvolutionalLattice(16, 20)
    y, _ = points_and_scales(lattice, 2)
    log_s = torch.linspace(-6, 2, 20, dtype=torch.float64)
    for scales in (log_s, log_s.flip(0)):
        for got, expected in zip(
            summed(lattice, y, scales), folded(lattice, y, scales), strict=True
        ):
            torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_s", [-16.0, 16.0])
def test_scales_at_the_ends_of_the_range_of_codes(log_s: float, dtype: torch.dtype) -> None:
    lattice = ConvolutionalLattice(9, 20)
    y = points_and_scales(lattice, 2)[0]
    at = (y - lattice.nearest_point(y)).to(dtype), torch.full((2, 20), log_s, dtype=dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 3e-6
    expected = folded(lattice, *(v.double() for v in at))
    for got, exact in zip(summed(lattice, *at), expected, strict=True):
        error = (got - exact).abs().max()
        assert got.isfinite().all() and error <= tolerance * exact.abs().max()


def test_a_value_needs_no_gradient_and_scales_may_be_shared() -> None:
    lattice = ConvolutionalLattice(9, 20).with_second_moment(2.0)
    y = points_and_scales(lattice, 6)[0].view(3, 2, 20)
    log_s = torch.linspace(-1, 1, 20, dtype=torch.float64)
    with by_triton():
        value = lattice.log_theta(y.to(DEVICE), log_s.to(DEVICE))
    torch.testing.assert_close(value.cpu(), lattice.log_theta(y, log_s), rtol=1e-11, atol=1e-11)


def test_points_are_taken_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = ConvolutionalLattice(4, 8)
    y, log_s = points_and_scales(lattice, 11)  # in chunks of 8
    whole = nearest(lattice, y), summed(lattice, y, log_s)
    monkeypatch.setattr(convolutional, "NUMBERS_ON_GPUS", (1, 1))
    assert torch.equal(nearest(lattice, y), whole[0])
    for got, expected in zip(summed(lattice, y, log_s), whole[1], strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("missing", ["nothing", "gpu", "cuda", "volta", "triton", "compiler"])
def test_what_kernels_need(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None if missing == "cuda" else "12.6")
    capability = (6, 1) if missing == "volta" else (9, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(convolutional, "find_spec", lambda name: missing != "triton" or None)
    monkeypatch.setattr(shutil, "which", lambda name: None if missing == "compiler" else name)
    device = torch.device("cpu" if missing == "gpu" else "cuda")
    assert convolutional.triton_runs_on.__wrapped__(device) == (missing == "nothing")


def test_the_kernels_compile_for_two_gpus(tmp_path: Path) -> None:
    """Without one, in a process that does not interpret them."""
    left_out = ("TRITON_INTERPRET", "TRITON_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    lattices = ("conv64-24", "conv625-24")
    run = subprocess.run(
        [sys.executable, SCRIPTS / "compile_gpu_kernels.py", "-lattices", *lattices],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    kernel = r"^(\S+) +float(\d+) +sm_(80|90) +(_\w+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$"
    found = re.findall(kernel, run.stdout, flags=re.M)
    assert len(found) == len(lattices) * 2 * (2 + 3)
    for _, _, _, name, *_, stack, _, barriers in found:
        assert int(stack) <= 32  # bytes: next to nothing is spilled
        assert name == "_share_out" or int(barriers) >= 2  # before the sections, and in each
