"""One law: what a kernel computes is what the mathematics computes.

Numba's kernels run on a CPU. Triton's run on a GPU where there is one, and are interpreted where
there is none. The mathematics is each lattice's fold over its coordinates, in torch.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import SCRIPTS, normal
from torch import Tensor

from onmt_lattice.lattices import convolutional, make_lattice
from onmt_lattice.lattices.base import FARTHEST
from onmt_lattice.lattices.theta import LOG_CROSSING
from onmt_lattice.lattices.trellis import LOG_SUM, TrellisLattice

F64 = torch.float64
DTYPES = [torch.float32, F64]
GPU = "cuda" if torch.cuda.is_available() else "cpu"
CONVOLUTIONAL = ["conv4-8", "conv16-20", "conv64-24", "conv9-20", "conv25-16", "z4conv64-20"]
SMALL = ["Z", "Z3", "A1", "A2", "A7", "A24", "D2", "D4", "D5", "D24", "E8"]
CODES = ["BW16", "Leech"]
SCALES = [-16.0, -8.0, -4.0, -3.0, -2.5, -2.0, -1.5, -1.0, LOG_CROSSING, 0.0, 0.5, 2.0, 16.0]


class Kernels(NamedTuple):
    """A lattice whose kernels run on a device, and how many points are worth their time."""

    lattice: TrellisLattice
    device: str
    count: int

    def nearest_point(self, x: Tensor) -> Tensor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(self.lattice), "_decode", None)  # the mathematics is not there
            return self.lattice.nearest_point(x.to(self.device)).cpu()

    def log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        return self.lattice.log_theta(y.to(self.device), log_s.to(self.device)).cpu()


class Mathematics(NamedTuple):
    """The same two calls without kernels."""

    lattice: TrellisLattice

    def nearest_point(self, x: Tensor) -> Tensor:
        unit = (x / self.lattice.scale).T.contiguous()
        return self.lattice._decode(unit).T * self.lattice.scale

    def log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        return self.lattice._fold(*self.lattice._at_unit_scale(y, log_s), LOG_SUM)


@pytest.fixture
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    """Kernels of the lattice and the compiler in ``request.param``."""
    name, compiler = request.param
    lattice = make_lattice(name).with_second_moment(1.0)
    assert isinstance(lattice, TrellisLattice)
    if compiler == "numba":
        return Kernels(lattice, "cpu", 100)
    pytest.importorskip("triton")
    monkeypatch.setattr(convolutional, "triton_runs_on", lambda device: device.type == GPU)
    return Kernels(lattice, GPU, 4)


def of(numba: list[str], triton: list[str]) -> pytest.MarkDecorator:
    cases = [(name, "numba") for name in numba] + [(name, "triton") for name in triton]
    return pytest.mark.parametrize("kernels", cases, ids=" ".join, indirect=True)


every_decoder = of([*SMALL, *CODES, *CONVOLUTIONAL], CONVOLUTIONAL)
every_sum = of([*CODES, *CONVOLUTIONAL, "conv32-50"], CONVOLUTIONAL)
one_of_each = of(["Leech", "conv9-20"], ["conv4-8"])


def points_and_scales(kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Return points ``(N, n)`` with scales of their own.

    A few points anywhere and in the cell for each of ``SCALES``, more or less, and for scales of
    all sizes in one point. Then, where rounding may decide nothing, holes and lattice points with
    coordinates on integers, half way between them, and next to that.
    """
    lattice, n = kernels.lattice, kernels.lattice.dim
    each, step = (4, 1) if kernels.count > 10 else (1, 4)
    mixed = torch.linspace(-6, 2, n, dtype=F64)
    rows = [s + 0.3 * normal(n, seed=i) for i, s in enumerate(SCALES[::step])]
    scales = torch.stack([*rows, mixed, mixed.flip(0)]).repeat_interleave(each, 0)
    y = 9 * normal(len(scales), n)
    y[::2] -= kernels.nearest_point(y[::2])
    generator = torch.Generator().manual_seed(0)
    holes = lattice.point(torch.randint(-2, 3, (each, n), generator=generator)) / 2
    holes = torch.cat([holes, holes + 1e-9])
    wide = torch.tensor([[-3.0], [-1.5], [0.0]][::step], dtype=F64).repeat_interleave(len(holes), 0)
    return torch.cat([y, holes.repeat(len(wide) // len(holes), 1)]), torch.cat(
        [scales, wide.expand(-1, n)]
    )


def sums(of: Kernels | Mathematics, y: Tensor, log_s: Tensor) -> list[Tensor]:
    """Return the sums ``(N, 1)`` and their gradients ``(N, n)`` in points and scales."""
    at = [v.detach().clone().requires_grad_() for v in (y, log_s)]
    value = of.log_theta(*at)
    return [value.detach()[:, None], *torch.autograd.grad(value.sum(), at)]


# ---- nearest points -----------------------------------------------------------------------------


@every_decoder
@pytest.mark.parametrize("dtype", DTYPES)
def test_nearest_points(kernels: Kernels, dtype: torch.dtype) -> None:
    """In float32 rounding may decide for another point, no further by more than that."""
    x = (5 * normal(20 * kernels.count if kernels.count > 10 else 5, kernels.lattice.dim)).to(dtype)
    found, best = kernels.nearest_point(x), Mathematics(kernels.lattice).nearest_point(x.double())
    assert kernels.lattice.contains(found).all()
    if dtype == F64:
        torch.testing.assert_close(found, best, rtol=1e-13, atol=1e-13)
    distances = [(x - z).double().square().sum(1) for z in (found, best)]
    torch.testing.assert_close(*distances, rtol=1e-5, atol=1e-4)
    assert (found - best).abs().amax(1).gt(1e-3).float().mean() < 2e-3


@of([*SMALL, *CODES, *CONVOLUTIONAL], ["conv4-8"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_point_comes_out_alike_in_any_company(kernels: Kernels, dtype: torch.dtype) -> None:
    """Alone, at another place of a batch, and beside what is not finite or too far."""
    count = min(kernels.count, 37)
    x = (5 * normal(count, kernels.lattice.dim)).to(dtype)
    expected = kernels.nearest_point(x)
    alone = x.split(1) if count > 10 else x.split([1, count - 1])
    assert torch.equal(torch.cat([kernels.nearest_point(v) for v in alone]), expected)
    assert torch.equal(kernels.nearest_point(x.flip(0)), expected.flip(0))
    farthest = FARTHEST[dtype] * kernels.lattice.scale
    bad = torch.tensor([math.nan, math.inf, -math.inf, 1e30, 1.001 * farthest], dtype=dtype)
    lost = torch.arange(count) % 3 == 0
    x[lost, 0] = bad.repeat(3)[: int(lost.sum())]
    found = kernels.nearest_point(x)
    assert found[lost].isnan().all() and torch.equal(found[~lost], expected[~lost])
    edge = torch.zeros(1, kernels.lattice.dim, dtype=dtype)
    edge[0, -1] = 0.999 * farthest
    assert not kernels.nearest_point(edge).isnan().any()


# ---- theta series -------------------------------------------------------------------------------


@every_sum
def test_sums_and_gradients(kernels: Kernels) -> None:
    """At any scale, from those whose sums only logarithms can hold."""
    y, log_s = points_and_scales(kernels)
    size = (-2 * log_s).exp().amax(1, keepdim=True)  # of what cancels
    found, expected = sums(kernels, y, log_s), sums(Mathematics(kernels.lattice), y, log_s)
    for got, right in zip(found, expected, strict=True):
        assert ((got - right).abs() <= 1e-11 * right.abs() + 1e-10 + 5e-11 * size).all()


@of([*CODES, "conv16-20", "conv9-20"], ["conv16-20", "conv9-20"])
def test_float32_is_as_exact_as_the_mathematics_in_float32(kernels: Kernels) -> None:
    """To a few of its last digits, of what cancels, too."""
    y, log_s = (v.float() for v in points_and_scales(kernels))
    some = (log_s.amin(1) > -3) | (log_s.amax(1) < -14)
    y, log_s = y[some], log_s[some]
    exact = sums(Mathematics(kernels.lattice), y.double(), log_s.double())
    eager = sums(Mathematics(kernels.lattice), y, log_s)
    for got, other, right in zip(sums(kernels, y, log_s), eager, exact, strict=True):
        assert got.dtype == torch.float32 and got.isfinite().all()
        slack = 1e-5 + 2e-5 * right.abs().amax(1) + 1e-4 * (-2 * log_s.double()).exp().amax(1)
        error, allowed = ((v - right).abs().amax(1) for v in (got, other))
        assert (error <= allowed + slack).all()


@one_of_each
def test_only_the_gradients_that_are_wanted_are_made(kernels: Kernels) -> None:
    y, log_s = normal(4, kernels.lattice.dim), torch.zeros(kernels.lattice.dim, dtype=F64)
    whole = [v.detach().clone().requires_grad_() for v in (y, log_s)]
    value = kernels.log_theta(*whole)
    value.sum().backward()
    assert torch.equal(kernels.log_theta(y, log_s), value.detach())
    assert not kernels.log_theta(y, log_s).requires_grad
    for wanted in range(2):
        at = [y.clone(), log_s.clone()]
        at[wanted].requires_grad_()
        kernels.log_theta(*at).sum().backward()
        torch.testing.assert_close(at[wanted].grad, whole[wanted].grad, rtol=1e-12, atol=1e-12)


@one_of_each
@pytest.mark.filterwarnings("ignore:All-NaN")  # of the interpreter
def test_a_sum_comes_out_alike_in_any_company(kernels: Kernels) -> None:
    y, log_s = normal(4, kernels.lattice.dim), torch.full((kernels.lattice.dim,), -1.0, dtype=F64)
    value = kernels.log_theta(y, log_s)
    assert torch.equal(torch.cat([kernels.log_theta(v, log_s) for v in y.split(1)]), value)
    assert torch.equal(kernels.log_theta(y.view(2, 2, -1), log_s), value.view(2, 2))
    y[::3, 0] = torch.nan
    found = kernels.log_theta(y, log_s)
    assert found[::3].isnan().all() and torch.equal(found[1:3], value[1:3])
    none = torch.zeros(0, kernels.lattice.dim, dtype=F64)
    assert kernels.nearest_point(none).shape == none.shape
    assert [v.shape for v in sums(kernels, none, none)] == [(0, 1), *2 * [none.shape]]


def test_triton_s_kernels_compile_for_two_gpus(tmp_path: Path) -> None:
    """Without one, in a process that does not interpret them."""
    pytest.importorskip("triton")
    left_out = ("TRITON_INTERPRET", "TRITON_CACHE_DIR", "PYTHONSAFEPATH")
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    lattices = ("conv64-24", "conv625-24", "z4conv64-24")
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
