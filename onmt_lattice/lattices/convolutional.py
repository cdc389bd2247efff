"""Lattices of any even dimension, by Construction A from convolutional codes.

Λ = {x ∈ ℤⁿ : x mod q ∈ C} with C a convolutional code of rate 1/2 over ℤ_q, which is a field if
q is 2, 3 or 5, and a ring if it is 4: volume q^(n/2).
Its points are the paths of a trellis of n/2 sections, whose edges allow one class mod q at each of
two coordinates. The nearest point is Viterbi's best path; log Θ is the forward sum, and the
posteriors of the classes give its gradient. Both take time linear in n. G falls with the number of
states towards that of the sphere.

Prior art: Calderbank, Fishburn & Rabanovich, "Covering properties of convolutional codes and
associated lattices" (1995); Kudryashov & Yurkov, "Linear code-based vector quantization for
independent random variables", arXiv 0805.2379.
"""

from __future__ import annotations

import math
import os
import shutil
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from onmt_lattice.lattices.base import on
from onmt_lattice.lattices.coding_order import CodingOrder, trellis_order
from onmt_lattice.lattices.generators import GENERATORS
from onmt_lattice.lattices.path_sums import PathSums
from onmt_lattice.lattices.registry import make_lattice, register_lattice
from onmt_lattice.lattices.trellis import LOG_SUM, MAX, Semiring, TrellisLattice

NEVER = -1e30  # log weight of a path that is not allowed: finite, so that gradients are
NUMBERS_AT_ONCE = 2**24  # metrics of the trellis in memory
POINTS_AT_ONCE = 256  # at least, for CPU kernels, which keep the metrics of only a few points
MEASURED_COORDINATES = 4_000_000  # of dithers, to measure second moments
NUMBERS_ON_GPUS = 2**27, 2**22  # metrics in memory, and coordinates, whose classes need more


@cache
def triton_runs_on(device: torch.device) -> bool:
    """Return whether Triton's kernels run on ``device``, all sections in one launch.

    They need an NVIDIA GPU, Volta or later, Triton, which comes with torch on Linux, and a C
    compiler. Other devices than CPUs fold eagerly.
    """
    return (
        device.type == "cuda"
        and torch.version.cuda is not None
        and torch.cuda.get_device_capability(device) >= (7, 0)
        and find_spec("triton") is not None
        and any(map(shutil.which, (os.environ.get("CC", "gcc"), "clang")))
    )


@cache
def _unit_second_moments(name: str) -> Tensor:
    """Return ``(n,)``, the second moments at scale 1, measured on dithers of a fixed seed."""
    generator, lattice = torch.Generator().manual_seed(0), make_lattice(name)
    shape = (MEASURED_COORDINATES // lattice.dim,)
    return lattice.sample_dither(shape, generator, torch.float64).square_().mean(0)


@register_lattice("conv", "conv64-96")
class ConvolutionalLattice(TrellisLattice):
    """The lattice of the code with ``states`` states in n dimensions, n even and at least 4ν.

    The code is over the field GF(2), GF(3) or GF(5), of which ``states`` is a power; a subclass
    takes codes over the ring ℤ4 ("z4conv"). The kissing number and the covering radius are not
    known. G is a simulation, within 0.3 % for each n; see
    :mod:`~onmt_lattice.lattices.generators`. On a CPU the nearest point is the one by squared
    distances rounded to 2^-20 at each coordinate, at scale 1.
    """

    max_dim = 4096
    family = "conv"

    def __init__(self, states: int, n: int):
        name = f"{self.family}{states}"
        if name not in GENERATORS:
            members = [member for member in GENERATORS if member.startswith(self.family)]
            raise ValueError(f"{name}: expected one of {', '.join(members)}")
        code = GENERATORS[name]
        if not isinstance(n, int) or n % 2 or not code.min_dim <= n <= self.max_dim:
            raise ValueError(
                f"{name} of n = {n!r}: expected an even number from {code.min_dim} to "
                f"{self.max_dim}"
            )
        self.name, self.dim = f"{name}-{n}", n
        self.encoder = code.encoder(n // 2)
        self.nsm = code.nsm(n)
        self.chunk = max(8, NUMBERS_AT_ONCE // (states * n))

    # ---- geometry ----------------------------------------------------------------------------

    @cached_property
    def unit_basis(self) -> Tensor:  # type: ignore[override]
        """``(n, n)`` float64: code words that are unit vectors at the pivots; then q·ℤ."""
        reduced, _, pivots = self.encoder.reduced
        non_pivots = torch.ones(self.dim, dtype=torch.bool)
        non_pivots[pivots] = False
        rest = self.encoder.q * torch.eye(self.dim, dtype=torch.float64)[non_pivots]
        return torch.cat([reduced.double(), rest])

    @property
    def volume(self) -> float:
        """Volume V of a Voronoi cell, q^(n/2) at scale 1; inf if that is too large for a float."""
        log = self.log_volume
        return math.exp(log) if log < 709 else math.inf

    @property
    def log_volume(self) -> float:
        """Log of the volume of a Voronoi cell."""
        return self.dim * (0.5 * math.log(self.encoder.q) + math.log(self.scale))

    @property
    def second_moment(self) -> float:
        """E‖U‖²/n, the second moment per dimension of U uniform on the Voronoi cell."""
        return self.nsm * self.encoder.q * self.scale**2

    @property
    def second_moments(self) -> Tensor:
        """See :attr:`Lattice.second_moments`: the ends differ; a reproducible simulation."""
        return _unit_second_moments(self.name) * self.scale**2

    @property
    def coordinate_ranking(self) -> tuple[int, ...]:
        """The coordinates from the middle outwards: those at the ends are the worst."""
        return tuple(sorted(range(self.dim), key=lambda i: abs(2 * i + 1 - self.dim)))

    def _coordinates(self, x: Tensor) -> Tensor:
        """See :meth:`Lattice.coordinates`; exact, by integers at the pivots."""
        q, (reduced, _, pivots) = self.encoder.q, self.encoder.reduced
        x = (x.double() / self.scale).round()
        non_pivots = torch.ones(self.dim, dtype=torch.bool)
        non_pivots[pivots] = False
        leading = x[..., pivots.to(x.device)]
        rest = (x - leading @ reduced.to(x.device, torch.float64))[..., non_pivots.to(x.device)] / q
        return torch.cat([leading, rest], -1).round().long()

    def dither(self, uniforms: Tensor) -> Tensor:
        """See :meth:`Lattice.dither`: the cube of q·ℤⁿ, which Λ contains, is folded."""
        self._check(uniforms)
        work = uniforms if uniforms.dtype == torch.float64 else uniforms.float()
        v = work * (self.encoder.q * self.scale)
        return (v - self.nearest_point(v)).to(uniforms.dtype)

    # ---- the trellis, eagerly ------------------------------------------------------------------

    def _classes(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Return ``(q, N, n)``, the log weights of the classes at ``y`` ``(..., n)``."""
        q = self.encoder.q
        y, log_s = (v.reshape(-1, self.dim) for v in torch.broadcast_tensors(y, log_s))
        return over.classes(y, log_s, tuple(map(float, range(q))), float(q))

    def _pairs(self, classes: Tensor) -> Tensor:
        """Return ``(T, q², N)``, the log weights of the labels of each section."""
        pairs = classes[:, None, :, 0::2] + classes[None, :, :, 1::2]  # (q, q, N, T)
        return pairs.flatten(0, 1).permute(2, 0, 1)

    def _extend(self, metrics: Tensor, pairs: Tensor) -> Tensor:
        """Return ``(S, q, N)``, the weights of paths into each state, by their last edge.

        Args:
            metrics: ``(S, N)``, weights of the paths to the previous states.
            pairs: ``(q², N)``, weights of the labels.
        """
        q = self.encoder.q
        edges = pairs.index_select(0, on(self.encoder.labels, pairs.device).flatten())
        before = metrics.unflatten(0, (q, -1)).transpose(0, 1)  # (S/q, q, N)
        return (edges.unflatten(0, (-1, q, q)) + before.unsqueeze(1)).flatten(0, 1)

    def _allowed(self, states: Tensor, like: Tensor) -> Tensor:
        """Return ``(S, N)``, 0 where ``states`` ``(S,)`` is True, else NEVER; N as in ``like``."""
        weights = like.new_zeros(len(states)).masked_fill_(~on(states, like.device), NEVER)
        return weights[:, None].expand(-1, like.shape[-1])

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        shape = torch.broadcast_shapes(y.shape, log_s.shape)[:-1]
        pairs = self._pairs(self._classes(y, log_s, over))
        metrics = self._allowed(self.encoder.starts, pairs)
        for section in pairs:
            metrics = over.total(self._extend(metrics, section), 1)
        ends = self._allowed(self.encoder.ends, metrics)
        return over.total(metrics + ends, 0).view(shape)

    def _decode(self, x: Tensor) -> Tensor:
        pairs = self._pairs(self._classes(x.T, x.new_zeros(1), MAX))
        metrics, choices = self._allowed(self.encoder.starts, pairs), []
        for section in pairs:
            metrics, choice = self._extend(metrics, section).max(1)
            choices.append(choice)
        ends = self._allowed(self.encoder.ends, metrics)
        classes = self._trace((metrics + ends).argmax(0), choices)
        return classes + self.encoder.q * ((x - classes) / self.encoder.q).round()

    def _trace(self, state: Tensor, choices: list[Tensor]) -> Tensor:
        """Return ``(n, N)``, the classes along the paths that end in ``state`` ``(N,)``."""
        q, labels = self.encoder.q, on(self.encoder.labels, state.device)
        classes = []
        for choice in reversed(choices):
            way = choice.gather(0, state[None])[0]
            label = labels.flatten()[state * q + way]
            classes += [label % q, label // q]
            state = state // q + way * (self.encoder.states // q)
        return torch.stack(classes[::-1]).to(torch.get_default_dtype())

    # ---- the CPU's kernels ---------------------------------------------------------------------

    def _trellis(self) -> tuple[Any, ...]:
        """Return the trellis as kernels take it."""
        code = self.encoder
        masks = (mask.to(torch.uint8).numpy() for mask in (code.starts, code.ends))
        return code.labels.numpy(), *masks, tuple(range(code.q))

    def _nearest(self, x: Tensor) -> Tensor:
        if triton_runs_on(x.device):
            return self._nearest_on_gpu(x.double()).to(x)
        if x.device.type != "cpu":
            return super()._nearest(x)
        from onmt_lattice.lattices.kernels import (
            trellis as kernels,  # numba takes a while to import
        )

        points = torch.empty(x.shape, dtype=torch.float64)
        kernels.nearest_points(x.double().numpy(), *self._trellis(), points.numpy())
        return points.to(x)

    def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(y.shape, log_s.shape)
        if triton_runs_on(y.device):
            return self._log_theta_on_gpu(y, log_s).view(shape[:-1])
        if y.device.type != "cpu":
            return self._fold(y, log_s, LOG_SUM)
        y, log_s = (v.expand(shape).reshape(-1, self.dim) for v in (y, log_s))
        value, lost = PathSums.apply(y, log_s, self._trellis(), self.encoder.memory)
        for index in lost.nonzero().squeeze(1).split(self.chunk) if lost.any() else ():
            exact = self._fold(y[index].double(), log_s[index].double(), LOG_SUM)
            value = value.index_put((index,), exact)
        return value.view(shape[:-1]).to(y.dtype)

    # ---- the GPU's kernels ---------------------------------------------------------------------

    def _chunk_on(self, device: torch.device) -> int:
        if triton_runs_on(device):
            metrics, coordinates = NUMBERS_ON_GPUS
            return max(8, min(metrics // self.encoder.states, coordinates) // self.dim)
        return max(self.chunk, POINTS_AT_ONCE) if device.type == "cpu" else self.chunk

    def _sections(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Return ``(N, T, q²)``, the log weights of the labels of each section."""
        return self._pairs(self._classes(y, log_s, over)).permute(2, 0, 1).contiguous()

    def _nearest_on_gpu(self, x: Tensor) -> Tensor:
        from onmt_lattice.lattices.kernels import trellis_gpu as gpu_kernels  # it imports Triton

        q, pairs = self.encoder.q, self._sections(x, x.new_zeros(1), MAX)
        classes = gpu_kernels.best_classes(pairs, self.encoder)
        return classes + q * ((x - classes) / q).round()

    def _log_theta_on_gpu(self, y: Tensor, log_s: Tensor) -> Tensor:
        from onmt_lattice.lattices.kernels import trellis_gpu as gpu_kernels

        pairs = self._sections(y, log_s, LOG_SUM)
        value: Tensor = gpu_kernels.GPUPathSums.apply(pairs, self.encoder)
        return value

    # ---- the coding order ----------------------------------------------------------------------

    def _order(self) -> CodingOrder:
        return trellis_order(self.encoder)


@register_lattice("z4conv", "z4conv64-96")
class Z4ConvolutionalLattice(ConvolutionalLattice):
    """The lattice of a code over the ring ℤ4; see :class:`ConvolutionalLattice`."""

    family = "z4conv"
