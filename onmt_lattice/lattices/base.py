"""The interface of a lattice: one object, read three ways.

A lattice here is a union of cosets of a rectangular or checkerboard lattice. The same structure
is read with (min, +) for the nearest point and with (+, ×) for the theta series that normalises
a code on its points; read from the top of a tree down it is the model of an entropy coder.
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
# Takes points (N, n), the lattice's scale and how many scales from 0 it decodes, and sets another
# array of the same shape and dtype to the nearest points, to NaN where there is none.
Kernel = Callable[[Array, float, float, Array], None]

FARTHEST = {torch.float32: 2.0**18, torch.float64: 2.0**40}  # scales from 0, of what is decoded
ATOL = 1e-4  # scales that a point may be off
SMALLEST = 1e-18  # scale, whose square float32 still holds


class Lattice(ABC):
    """A lattice Λ of ``dim`` dimensions, times one ``scale`` factor.

    Subclasses describe the lattice at scale 1: ``unit_basis``, ``_nearest`` and ``_log_theta``,
    with ``nsm`` and, where known, ``kissing_number`` and ``unit_covering_radius``. Everything
    here that takes points takes any leading shape ``(..., dim)``, on any device, in any floating
    dtype, and returns the same.

    Attributes:
        name: the name :func:`~onmt_lattice.lattices.make_lattice` builds it under.
        dim: n, the dimension.
        unit_basis: ``(n, n)`` float64, a basis in its **rows**, at scale 1.
        nsm: G(Λ), the normalized second moment: E‖U‖² / (n · V^(2/n)) for U uniform on the
            Voronoi cell of volume V (Conway & Sloane, SPLAG, chapter 2, eq. 74).
        kissing_number: number of shortest nonzero vectors, or None where unknown.
        unit_covering_radius: largest distance of a point to the lattice at scale 1, or None.
        scale: the factor.
        chunk: number of points decoded at a time, which bounds the memory a decoder takes.
        most: the largest n of the family that is built; its basis takes n² numbers.
    """

    name: str
    dim: int
    unit_basis: Tensor
    nsm: float
    kissing_number: int | None = None
    unit_covering_radius: float | None = None
    scale: float = 1.0
    chunk: int = 8192
    most: int = 2048

    # ---- what a lattice is -------------------------------------------------------------------

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
        """Log of the volume of a Voronoi cell: a number even where the volume is too large."""
        return math.log(self.volume)

    @property
    def second_moment(self) -> float:
        """E‖U‖²/n, the second moment a dimension of U uniform on the Voronoi cell."""
        return self.nsm * self.volume ** (2 / self.dim)

    @property
    def second_moments(self) -> Tensor:
        """``(n,)`` float64, E U_i² of each coordinate of U uniform on the Voronoi cell.

        All alike where the symmetries of the lattice mix all coordinates.
        """
        return torch.full((self.dim,), self.second_moment, dtype=torch.float64)

    @property
    def space_filling_loss(self) -> float:
        """½ log2(2πe G), bits per dimension: what it costs, at fine resolution, over the ball."""
        return space_filling_loss(self.nsm)

    @property
    def covering_radius(self) -> float | None:
        """Largest distance of any point of space to the lattice, or None where unknown."""
        return None if self.unit_covering_radius is None else self.unit_covering_radius * self.scale

    def scaled(self, factor: float) -> Self:
        """Return this lattice times ``factor``.

        Raises:
            ValueError: if that is no positive number, or so small or large that float32 could not
                hold the points.
        """
        scale = self.scale * factor
        if not SMALLEST <= scale <= 1 / SMALLEST:
            raise ValueError(
                f"lattice scale factor {factor!r}: expected a positive number, and a scale from "
                f"{SMALLEST:g} to {1 / SMALLEST:g}; this makes it {scale:g}"
            )
        scaled = copy.copy(self)
        scaled.scale = scale
        return scaled

    def with_second_moment(self, second_moment: float) -> Self:
        """Return this lattice scaled so that its dither has ``second_moment`` a dimension."""
        return self.scaled(math.sqrt(second_moment / self.second_moment))

    @property
    def coordinate_ranking(self) -> tuple[int, ...]:
        """The coordinates, those first that suit the most informative numbers best."""
        return tuple(range(self.dim))

    # ---- reading (min, +): the nearest point -------------------------------------------------

    def nearest_point(self, x: Tensor) -> Tensor:
        """Return K(x), the lattice point nearest to each of ``x`` ``(..., n)``.

        Exact up to rounding of the input's dtype; ties go to one of the nearest points, the same
        one every time. Carries no gradient, which would be zero almost everywhere. Points of a
        dtype narrower than float32, which could not hold them, come back in float32. Where ``x``
        is not finite, or more than 2¹⁸ scales from 0 in float32 or 2⁴⁰ in float64, every coordinate
        is NaN, which is no point: further out not every lattice's coordinates could be told from
        its points, as its dtype has them.

        Raises:
            ValueError: if the last dimension of ``x`` is not ``dim``, or its numbers are complex.
        """
        self._check(x)
        dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        points = torch.empty(x.shape, dtype=dtype, device=x.device)
        kernel = self._kernel() if x.device.type == "cpu" else None
        chunk = self._chunk_on(x.device)
        parts = x.detach().reshape(-1, self.dim).split(chunk)
        for part, into in zip(parts, points.view(-1, self.dim).split(chunk), strict=True):
            part = part.to(dtype).contiguous()
            if kernel is not None:
                kernel(part.numpy(), self.scale, FARTHEST[dtype], into.numpy())
            else:
                part = part / self.scale
                far = ~(part.abs().amax(1, keepdim=True) <= FARTHEST[dtype])
                into.copy_(self._nearest(part).mul_(self.scale).masked_fill_(far, math.nan))
        return points

    def _kernel(self) -> Kernel | None:
        """Return what decodes on a CPU in place of :meth:`_nearest`, if there is anything."""
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
            ValueError: if any of them is no point of the lattice, as :meth:`contains` sees it.
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
        """Return the coordinates, rounded, of what may be no point."""
        inverse = torch.linalg.inv(self.basis).to(x.device)
        return (x.double() @ inverse).round().long()

    def _is_point(self, x: Tensor, coordinates: Tensor, atol: float = ATOL) -> Tensor:
        error = (self.point(coordinates) - x.double()).abs().amax(-1)
        narrow = 8 * torch.finfo(_decodable(x[:0]).dtype).eps * x.double().abs().amax(-1)
        return error <= atol * self.scale + narrow

    def point(self, coordinates: Tensor) -> Tensor:
        """Return the lattice points (float64) of integer ``coordinates`` ``(..., n)``."""
        self._check(coordinates)
        return coordinates.double() @ self.unit_basis.to(coordinates.device) * self.scale

    def contains(self, x: Tensor, atol: float = ATOL) -> Tensor:
        """Return for each of ``x`` ``(..., n)`` whether it is in Λ.

        That is, within ``atol·scale`` of one of its points, or as near as the dtype can tell.
        """
        self._check(x)
        return self._is_point(x, self._coordinates(x), atol)

    # ---- dither ------------------------------------------------------------------------------

    def dither(self, uniforms: Tensor) -> Tensor:
        """Fold ``uniforms`` ``(..., n)`` in [0, 1) to points uniform on the Voronoi cell.

        V = uniforms · basis is uniform on a fundamental cell, and so V − K(V) on the Voronoi
        cell: both cells tile space by the same lattice.
        """
        self._check(uniforms)
        work = _decodable(uniforms)
        with torch.autocast(work.device.type, enabled=False):  # whose products are too coarse
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

    # ---- reading (+, ×): the theta series ----------------------------------------------------

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
            ValueError: if the last dimension of ``y`` is not ``dim``, or that of ``log_s``
                neither that nor 1.
        """
        parts = self._split(*self._at_unit_scale(y, log_s))
        theta = [self._log_theta(*part) for part in parts]
        return (theta[0] if len(theta) == 1 else torch.cat(theta)).to(y.dtype)

    def _at_unit_scale(self, y: Tensor, log_s: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and log scales ``(..., n)`` as the unit lattice sees them, checked."""
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
        own_scales = log_s.dim() == y.dim() and len(log_s) > 1
        return zip(y.split(rows), log_s.split(rows) if own_scales else repeat(log_s), strict=False)

    @abstractmethod
    def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        """Return :meth:`log_theta` of the unit lattice, ``y`` and ``log_s`` ``(..., n)``."""

    # ---- reading by coordinates: the entropy coder's model -----------------------------------

    @cached_property
    def coding_order(self) -> CodingOrder:
        """How the points of this lattice, at scale 1, are coded symbol by symbol.

        Raises:
            NotImplementedError: if the lattice has no coding order. All those built in have one.
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

    def _set_family(self, family: str, n: int, least: int) -> None:
        """Set the dimension n ≥ ``least`` of a member of ``family``, and its name with it."""
        if not isinstance(n, int) or not least <= n <= self.most:
            raise ValueError(
                f"{family} of n = {n!r}: expected an integer from {least} to {self.most}"
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
    """Return ½ log2(2πe G), in bits per dimension: what a lattice of that G costs over the ball."""
    return 0.5 * math.log2(2 * math.pi * math.e * nsm)


def _decodable(x: Tensor) -> Tensor:
    """Return ``x`` in float32 if its dtype is any narrower."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


_COPIES = WeakTensorKeyDictionary()


def on(constant: Tensor, device: torch.device) -> Tensor:
    """Return ``constant``, which nothing changes, on ``device``: a copy that is made once.

    Copying one again at each use would have the host wait for the device.
    """
    if constant.device == device:
        return constant
    copies = _COPIES.setdefault(constant, {})
    if device not in copies:
        copies[device] = constant.to(device)
    copy: Tensor = copies[device]
    return copy
