"""The interface of a lattice: one structure with three uses.

A lattice here is a union of cosets of a rectangular or checkerboard lattice. Folded with (min, +),
this structure gives the nearest point; folded with (+, ×), the theta series that normalises a code
on its points; read from the top of a tree down, the model of an entropy coder.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from typing_extensions import Self

from onmt_lattice.lattices.coding_order import CodingOrder

Array = npt.NDArray[np.floating[Any]]
# Takes points (N, n), the lattice's scale and the largest distance from 0, in scales, that it
# decodes; sets another array of the same shape and dtype to the nearest points, or to NaN.
Kernel = Callable[[Array, float, float, Array], None]

FARTHEST = {
    torch.float32: 2.0**18,
    torch.float64: 2.0**40,
}  # in scales, of decoded points
ATOL = 1e-4  # tolerance of a point, in scales
MIN_SCALE = 1e-18  # its square is still a float32


class Lattice(ABC):
    """A lattice Λ of ``dim`` dimensions, times one ``scale`` factor.

    Subclasses describe the lattice at scale 1: ``unit_basis``, ``_nearest`` and ``_log_theta``,
    with ``nsm`` and, where known, ``kissing_number`` and ``unit_covering_radius``. Everything
    here that takes points takes any leading shape ``(..., dim)``, any device and any floating
    dtype, and returns the same.

    Attributes:
        name: the name that :func:`~onmt_lattice.lattices.make_lattice` takes.
        dim: n, the dimension.
        unit_basis: ``(n, n)`` float64, a basis in its **rows**, at scale 1.
        nsm: G(Λ), the normalized second moment: E‖U‖² / (n · V^(2/n)) for U uniform on the
            Voronoi cell of volume V (Conway & Sloane, SPLAG, chapter 2, eq. 74).
        kissing_number: number of shortest nonzero vectors, or None where unknown.
        unit_covering_radius: largest distance of a point to the lattice at scale 1, or None.
        scale: the factor.
        chunk: number of points decoded at a time; it bounds the memory of a decoder.
        max_dim: the largest n of the family; a basis takes n² numbers.
    """

    name: str
    dim: int
    unit_basis: Tensor
    nsm: float
    kissing_number: int | None = None
    unit_covering_radius: float | None = None
    scale: float = 1.0
    chunk: int = 8192
    max_dim: int = 2048

    # ---- geometry ---------------------------------------------------------------------------

    @property
    def basis(self) -> Tensor:
        """``(n, n)`` float64: rows generate the lattice."""
        return self.unit_basis * self.scale

    @property
    def volume(self) -> float:
        """Volume V of a Voronoi cell: |det basis|."""
        return float(torch.linalg.det(self.unit_basis).abs()) * self.scale**self.dim

    @property
    def log_volume(self) -> float:
        """Log of the volume of a Voronoi cell: finite even if the volume is not."""
        return math.log(self.volume)

    @property
    def second_moment(self) -> float:
        """E‖U‖²/n, the second moment per dimension of U uniform on the Voronoi cell."""
        return self.nsm * self.volume ** (2 / self.dim)

    @property
    def second_moments(self) -> Tensor:
        """``(n,)`` float64, E U_i² of each coordinate of U uniform on the Voronoi cell.

        They are equal if the symmetries of the lattice mix all coordinates.
        """
        return torch.full((self.dim,), self.second_moment, dtype=torch.float64)

    @property
    def space_filling_loss(self) -> float:
        """½ log2(2πe G), bits per dimension: its cost over the ball at fine resolution."""
        return space_filling_loss(self.nsm)

    @property
    def covering_radius(self) -> float | None:
        """Largest distance of any point of space to the lattice, or None where unknown."""
        return None if self.unit_covering_radius is None else self.unit_covering_radius * self.scale

    def scaled(self, factor: float) -> Self:
        """Return this lattice times ``factor``.

        Raises:
            ValueError: if ``factor`` is not a positive number, or so small or large that float32
                cannot hold the points.
        """
        scale = self.scale * factor
        if not MIN_SCALE <= scale <= 1 / MIN_SCALE:
            raise ValueError(
                f"lattice scale factor {factor!r}: expected a positive number, and a scale from "
                f"{MIN_SCALE:g} to {1 / MIN_SCALE:g}; this makes it {scale:g}"
            )
        scaled = copy.copy(self)
        scaled.scale = scale
        return scaled

    def with_second_moment(self, second_moment: float) -> Self:
        """Return this lattice scaled to a dither with ``second_moment`` per dimension."""
        return self.scaled(math.sqrt(second_moment / self.second_moment))

    @property
    def coordinate_ranking(self) -> tuple[int, ...]:
        """The coordinates from the best to the worst, as positions for informative numbers."""
        return tuple(range(self.dim))

    # ---- (min, +): the nearest point ---------------------------------------------------------

    def nearest_point(self, x: Tensor) -> Tensor:
        """Return K(x), the lattice point nearest to each of ``x`` ``(..., n)``.

        Exact up to rounding of the input's dtype; ties go to one of the nearest points, always the
        same one. It has no gradient, which would be zero almost everywhere. A dtype narrower than
        float32 cannot hold the points, which are then float32. If ``x`` is not finite, or more than
        2¹⁸ scales from 0 in float32 or 2⁴⁰ in float64, every coordinate of the point is NaN:
        further out, rounded points of some lattices do not determine their integer coordinates.

        Raises:
            ValueError: if the last dimension of ``x`` is not ``dim``, or its numbers are complex.
        """
        self._check(x)
        dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        points = torch.empty(x.shape, dtype=dtype, device=x.device)
        kernel = self._kernel() if x.device.type == "cpu" else None
        chunk = self._chunk_on(x.device)
        parts = x.detach().reshape(-1, self.dim).split(chunk)
        for part, nearest in zip(parts, points.view(-1, self.dim).split(chunk), strict=True):
            part = part.to(dtype).contiguous()
            if kernel is not None:
                kernel(part.numpy(), self.scale, FARTHEST[dtype], nearest.numpy())
            else:
                part = part / self.scale
                far = ~(part.abs().amax(1, keepdim=True) <= FARTHEST[dtype])
                nearest.copy_(self._nearest(part).mul_(self.scale).masked_fill_(far, math.nan))
        return points

    def _kernel(self) -> Kernel | None:
        """Return the kernel that replaces :meth:`_nearest` on a CPU, if there is one."""
        return None

    def _chunk_on(self, device: torch.device) -> int:
        """Return the number of points to take at a time on ``device``."""
        return self.chunk

    @abstractmethod
    def _nearest(self, x: Tensor) -> Tensor:
        """Return the points of the unit lattice nearest to ``x`` ``(N, n)``."""

    def coordinates(self, point: Tensor) -> Tensor:
        """Return the integers ``(..., n)`` (int64) of ``point`` in the rows of ``basis``.

        Raises:
            ValueError: if one of them is not in the lattice, by :meth:`contains`.
        """
        self._check(point)
        coordinates = self._coordinates(point)
        outside = ~self._is_point(point, coordinates)
        if outside.any():
            raise ValueError(
                f"{int(outside.sum())} of {outside.numel()} points are none of {self!r}, the first "
                f"{point[outside][0].tolist()}: expected what nearest_point returns"
            )
        return coordinates

    def _coordinates(self, x: Tensor) -> Tensor:
        """Return the rounded coordinates of ``x`` ``(..., n)``, in the lattice or not."""
        inverse = torch.linalg.inv(self.basis).to(x.device)
        return (x.double() @ inverse).round().long()

    def _is_point(self, x: Tensor, coordinates: Tensor, atol: float = ATOL) -> Tensor:
        """Return whether ``x`` is the point of ``coordinates``; see :meth:`contains`."""
        error = (self.point(coordinates) - x.double()).abs().amax(-1)
        rounding = 8 * torch.finfo(_decodable(x[:0]).dtype).eps * x.double().abs().amax(-1)
        return error <= atol * self.scale + rounding

    def point(self, coordinates: Tensor) -> Tensor:
        """Return the lattice points (float64) of integer ``coordinates`` ``(..., n)``."""
        self._check(coordinates)
        return coordinates.double() @ self.unit_basis.to(coordinates.device) * self.scale

    def contains(self, x: Tensor, atol: float = ATOL) -> Tensor:
        """Return for each of ``x`` ``(..., n)`` whether it is in Λ.

        It is if it is within ``atol·scale`` of a point, or within the rounding of its dtype.
        """
        self._check(x)
        return self._is_point(x, self._coordinates(x), atol)

    # ---- dither ------------------------------------------------------------------------------

    def dither(self, uniforms: Tensor) -> Tensor:
        """Fold ``uniforms`` ``(..., n)`` in [0, 1) to points uniform on the Voronoi cell.

        V = uniforms · basis is uniform on a fundamental cell. V − K(V) is then uniform on the
        Voronoi cell, because both cells tile space by the same lattice.
        """
        self._check(uniforms)
        work = _decodable(uniforms)
        with torch.autocast(work.device.type, enabled=False):  # its products are too coarse
            v = work @ (on(self.unit_basis, work.device) * self.scale).to(work)
        return (v - self.nearest_point(v)).to(uniforms.dtype)

    def sample_dither(
        self,
        shape: tuple[int, ...],
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return ``(*shape, n)`` independent points uniform on the Voronoi cell."""
        uniforms = torch.rand((*shape, self.dim), generator=generator, dtype=dtype, device=device)
        return self.dither(uniforms)

    # ---- (+, ×): the theta series ------------------------------------------------------------

    def log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        """Return log Θ(y) ``(...)``, Θ(y) = Σ_{λ ∈ Λ} exp(−Σ_i (y_i − λ_i)² / 2 s_i²).

        Exact (up to floating point) and differentiable in both arguments, from s → 0, where
        log Θ(y) tends to its largest exponent, to s much wider than the cell, where Θ tends to
        Π_i √(2π) s_i / V. Value and gradients are finite as long as (y/s)², s² and 1/s² are
        numbers of the dtype (bfloat16 is summed in float32).

        Args:
            y: ``(..., n)`` points.
            log_s: log of the scales s, broadcastable with ``y``.

        Raises:
            ValueError: if the last dimension of ``y`` is not ``dim``, or that of ``log_s`` neither
                ``dim`` nor 1.
        """
        parts = self._split(*self._at_unit_scale(y, log_s))
        theta = [self._log_theta(*part) for part in parts]
        return (theta[0] if len(theta) == 1 else torch.cat(theta)).to(y.dtype)

    def _at_unit_scale(self, y: Tensor, log_s: Tensor) -> tuple[Tensor, Tensor]:
        """Check points and log scales ``(..., n)``, and return them in units of the scale."""
        self._check(y)
        work = _decodable(y)
        log_s = log_s.to(work)
        if log_s.dim() == 0 or log_s.shape[-1] == 1:
            log_s = log_s.expand(*log_s.shape[:-1], self.dim)
        self._check(log_s)
        return work / self.scale, log_s - math.log(self.scale)

    def _split(self, y: Tensor, log_s: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """Split the points along their first dimension into parts of about a chunk of points."""
        y = y.expand(torch.broadcast_shapes(y.shape, log_s.shape))
        points, chunk = y.shape[:-1].numel(), self._chunk_on(y.device)
        if y.dim() == 1 or points <= chunk:
            return [(y, log_s)]
        rows = max(1, chunk * len(y) // points)
        scales_vary = log_s.dim() == y.dim() and len(log_s) > 1
        return zip(y.split(rows), log_s.split(rows) if scales_vary else repeat(log_s), strict=False)

    @abstractmethod
    def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        """Return :meth:`log_theta` of the unit lattice, ``y`` and ``log_s`` ``(..., n)``."""

    # ---- the entropy coder's model ---------------------------------------------------------

    @cached_property
    def coding_order(self) -> CodingOrder:
        """The order in which a point of this lattice, at scale 1, is coded symbol by symbol.

        Raises:
            NotImplementedError: if the lattice has no coding order. All built-in lattices have one.
        """
        return self._order()

    def _order(self) -> CodingOrder:
        """Return the coding order of the unit lattice."""
        raise NotImplementedError(
            f"lattice {self.name} has no coding order; Z, D_n, D_n*, A_n, A_n*, E8, BW16, Leech, "
            "conv and their products have one: use one of them, or define "
            f"{type(self).__name__}._order"
        )

    # ------------------------------------------------------------------------------------------

    def _set_family(self, family: str, n: int, min_dim: int) -> None:
        """Set the dimension n ≥ ``min_dim`` and the name of a member of ``family``."""
        if not isinstance(n, int) or not min_dim <= n <= self.max_dim:
            raise ValueError(
                f"{family} of n = {n!r}: expected an integer from {min_dim} to {self.max_dim}"
            )
        self.dim = n
        self.name = family.replace("_n", str(n))

    def _check(self, x: Tensor) -> None:
        if x.shape[-1:] != (self.dim,):
            raise ValueError(
                f"lattice {self.name} has dimension {self.dim}; "
                f"got points of shape {tuple(x.shape)}, whose last dimension must be {self.dim}"
            )
        if x.is_complex():
            raise ValueError(f"lattice {self.name}: points of {x.dtype}; expected real numbers")

    def __repr__(self) -> str:
        return f"{self.name}(dim={self.dim}, scale={self.scale:g})"


def space_filling_loss(nsm: float) -> float:
    """Return ½ log2(2πe G), bits per dimension: the cost over the ball of a lattice with that G."""
    return 0.5 * math.log2(2 * math.pi * math.e * nsm)


def _decodable(x: Tensor) -> Tensor:
    """Return ``x`` in float32 if its dtype is any narrower."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


_COPIES = WeakTensorKeyDictionary()


def on(constant: Tensor, device: torch.device) -> Tensor:
    """Return ``constant``, which is never changed, on ``device``; it is copied only once.

    A copy at each use would make the host wait for the device.
    """
    if constant.device == device:
        return constant
    copies = _COPIES.setdefault(constant, {})
    if device not in copies:
        copies[device] = constant.to(device)
    copy: Tensor = copies[device]
    return copy
