"""The weights of all words of a binary code at once, as convolutions over ℤ₂ᵏ.

A lattice here is a union of cosets, one for each word of a binary code. The words are built from
halves, and so are their weights. The halves have to agree (in parity, in sign, in a glue vector);
each way to agree is a term, and the sum over the ways is a convolution
h(c) = ⊕_a f(a) ⊗ g(a ⊕ c) over ℤ₂ᵏ. With (max, +) for (⊕, ⊗) the weights are squared distances to
the cosets, negated and halved; with (logaddexp, +) they are logs of the cosets' theta series.

Tensors have the group in dimension 0 and points last, so that operations run along whole rows.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from onmt_lattice.lattices.base import Array, Kernel, on
from onmt_lattice.lattices.kernels.circuit import Circuit, Recorder, circuit
from onmt_lattice.lattices.trellis import LOG_SUM, MAX, Semiring, TrellisLattice

Over = Semiring | Recorder


def convolve(f: Tensor, g: Tensor, over: Over) -> Tensor:
    """Return ``(2^k, ...)``, h(c) = ⊕_a f(a) ⊗ g(a ⊕ c) for a, c in ℤ₂ᵏ.

    Args:
        f: ``(2^k, ...)`` log weights.
        g: ``(2^k, ...)`` log weights; dimensions after the first broadcast.
        over: the semiring of ⊕, and of ⊗ = +.
    """
    if isinstance(over, Recorder):
        return over.convolve(f, g)
    if over is LOG_SUM:
        return _LogSumConvolution.apply(f, g)
    c = torch.arange(len(g), device=g.device)
    h = f[0] + g
    for a in range(1, len(f)):
        h = over.add(h, f[a] + g.index_select(0, c ^ a))
    return h


def join(left: Tensor, right: Tensor, over: Over) -> Tensor:
    """Return ``(2, 2, 2, ...)``, the weights (parity, u, v) of the words (u | u + v).

    Args:
        left: ``(2, 2, ...)``, the weights (parity, u) of the left half.
        right: ``(2, 2, ...)``, those of the right half; dimensions after the second broadcast.
        over: the semiring.
    """
    return convolve(left.unsqueeze(2), torch.stack([right, right.flip(1)], 2), over)


def halve(weights: Tensor, over: Over) -> tuple[Tensor, Tensor]:
    """Return the weights of the halves of vectors by the sum, in ℤ₂ᵏ, of their coordinates.

    Args:
        weights: ``(2^k, cosets, n, N)``, those of each coordinate in each coset; n ≥ 2.
        over: the semiring.

    Returns:
        Two tensors ``(2^k · cosets, N)``. In vectors with sum 0 both halves have the same sum.
    """
    while (n := weights.shape[2]) > 2:
        left, right, rest = weights.split([n // 2, n // 2, n % 2], 2)
        weights = torch.cat([convolve(left, right, over), rest], 2)
    left, right = weights.unbind(2)
    return left.flatten(0, 1), right.flatten(0, 1)


class CodeLattice(TrellisLattice):
    """A union of cosets, one for each word of a binary code, all weighed at once.

    Attributes:
        unit: the lattice at scale 1 is ``unit`` times a lattice of integer vectors.
        period: that lattice contains ``period``·ℤⁿ.
        decode_block: points decoded at a time on a CPU; their weights have to fit its cache.
        theta_block: points whose theta series are summed at a time on a CPU.
    """

    unit: float
    period: int
    decode_block = 2**15
    theta_block = 2**15

    @abstractmethod
    def _weigh(self, residues: Tensor, over: Over) -> tuple[Tensor, Tensor]:
        """Return two tensors ``(terms, N)``, whose sums are the weights of all cosets.

        Args:
            residues: ``(period, n, N)``, the weights of each residue at each coordinate.
            over: the semiring.
        """

    def _make_tables(self) -> tuple[Tensor, ...]:
        """Return the integer tables of the code for decoding, if any."""
        return ()

    @cached_property
    def _cpu_tables(self) -> tuple[Tensor, ...]:
        return self._make_tables()

    def _tables(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return :meth:`_make_tables` on ``device``."""
        return tuple(on(table, device) for table in self._cpu_tables)

    def _residues(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        """Return ``(period, n, N)``, the weights of each residue at ``y`` ``(n, N)``."""
        return over.classes(y, log_s, tuple(map(float, range(self.period))), float(self.period))

    def _distances(self, x: Tensor) -> Tensor:
        """Return :meth:`_residues` for the nearest point: −½ of squared distances."""
        return self._residues(x, x.new_zeros(1), MAX)

    @cached_property
    def _circuit(self) -> Circuit:
        """The convolutions of :meth:`_weigh`."""
        return circuit(self.period, self.dim, self._weigh)

    def _kernel(self) -> Kernel:
        from onmt_lattice.lattices.kernels import circuit_decoder  # numba takes a while to import

        def decode(x: Array, scale: float, farthest: float, points: Array) -> None:
            circuit_decoder.nearest_points(
                x, scale, farthest, points, self.unit, self.period, self._circuit
            )

        return decode

    @cached_property
    def _integers(self) -> tuple[Tensor, Tensor]:
        """The basis of the integer vectors, and its inverse, exact multiples of 1/``period``."""
        basis = (self.unit_basis / self.unit).round()
        return basis, (torch.linalg.inv(basis) * self.period).round() / self.period

    def _coordinates(self, x: Tensor) -> Tensor:
        """See :meth:`Lattice.coordinates`; exact, by integers."""
        integers = (x.double() / (self.unit * self.scale)).round()
        return (integers @ self._integers[1].to(x.device)).round().long()

    def point(self, coordinates: Tensor) -> Tensor:
        """See :meth:`Lattice.point`; exact, by integers."""
        self._check(coordinates)
        integers = coordinates.double() @ self._integers[0].to(coordinates.device)
        return integers * (self.unit * self.scale)

    def _nearest(self, x: Tensor) -> Tensor:
        blocks = x.split(_block_size(self.decode_block, x))
        return torch.cat([self._decode(block.T.contiguous()).T for block in blocks])

    def _log_theta(self, y: Tensor, log_s: Tensor) -> Tensor:
        if y.device.type != "cpu":
            return self._fold(y, log_s, LOG_SUM)
        y, log_s = torch.broadcast_tensors(y / self.unit, log_s - math.log(self.unit))
        points, scales = (v.reshape(-1, self.dim) for v in (y, log_s))
        value = WordSums.apply(points, scales, self.period, self._circuit)
        return value.view(y.shape[:-1]).to(y.dtype)

    def _fold(self, y: Tensor, log_s: Tensor, over: Semiring) -> Tensor:
        def fold(y: Tensor, log_s: Tensor) -> Tensor:
            left, right = self._weigh(self._residues(y, log_s, over), over)
            return over.total(left + right, 0)

        y, log_s = torch.broadcast_tensors(y / self.unit, log_s - math.log(self.unit))
        points, scales = (v.reshape(-1, self.dim).T.contiguous() for v in (y, log_s))
        size = _block_size(self.theta_block, y)
        return _Blockwise.apply(fold, size, points, scales).view(y.shape[:-1])


class _Blockwise(torch.autograd.Function):
    """A function of each point by itself, and its gradient, a block of points at a time.

    The gradient of a block is computed in the forward pass, while its tensors are in the cache. The
    backward pass keeps one tensor of the shape of each input, and nothing else. The function is
    differentiable once, not twice.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], size: int, *inputs: Tensor) -> Tensor:
        """Return ``(N,)``, ``function`` of the ``inputs`` ``(..., N)``, ``size`` points a call."""
        needed = ctx.needs_input_grad[2:]
        values, gradients = [], []
        for block in zip(*(v.split(size, -1) for v in inputs), strict=True):
            with torch.set_grad_enabled(any(needed)):
                leaves = [v.detach().requires_grad_(n) for v, n in zip(block, needed, strict=True)]
                value = function(*leaves)
                if any(needed):
                    inputs_of_grad = [v for v in leaves if v.requires_grad]
                    gradients.append(torch.autograd.grad(value.sum(), inputs_of_grad))
            values.append(value.detach())
        ctx.needed = needed
        ctx.save_for_backward(*(torch.cat(parts, -1) for parts in zip(*gradients, strict=True)))
        return torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        flows = iter([grad * gradient for gradient in ctx.saved_tensors])
        return None, None, *(next(flows) if needed else None for needed in ctx.needed)


class _LogSumConvolution(torch.autograd.Function):
    """:func:`convolve` over (logaddexp, +), whose gradient reuses the terms of the sum.

    Logs are to base 2, because ``exp2`` takes a quarter of the time of ``exp``.
    """

    @staticmethod
    def forward(ctx: Any, f: Tensor, g: Tensor) -> Tensor:
        n = len(f)
        ctx.shapes = f.shape, g.shape
        f, g = f / math.log(2), g / math.log(2)
        index = torch.arange(n, device=g.device)
        partners = (index[:, None] ^ index).flatten()
        terms = f + g.index_select(0, partners).unflatten(0, (n, n))  # (c, a, ...)
        top = terms.amax(1)
        terms.sub_(top.unsqueeze(1)).exp2_()
        total = terms.sum(1)
        ctx.save_for_backward(terms, total)
        return (total.log2() + top) * math.log(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        terms, total = ctx.saved_tensors
        n = len(total)
        f_shape, g_shape = ctx.shapes
        flow = terms * (grad / total).unsqueeze(1)  # (c, a, ...)
        to_f = _sum_to(flow.sum(0), f_shape)
        by_term = _sum_to(flow, (n, *g_shape)).flatten(0, 1)
        index = torch.arange(n, device=flow.device)
        terms_of_g = ((index[:, None] ^ index) * n + index).flatten()  # (c, a) = (a ⊕ b, a)
        return to_f, by_term.index_select(0, terms_of_g).unflatten(0, (n, n)).sum(1)


def _sum_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return ``x`` summed to ``shape``, one dimension at a time: several at once would be slow."""
    for dim, size in enumerate(shape):
        if size == 1 and x.shape[dim] > 1:
            x = x.sum(dim, keepdim=True)
    return x


def _block_size(on_cpu: int, x: Tensor) -> int:
    """Return the number of points at a time: at least 4,096 on other devices than CPUs."""
    return on_cpu if x.device.type == "cpu" else max(on_cpu, 4096)


class WordSums(torch.autograd.Function):
    """Log of the total weight of the words at points ``(N, n)``: ``(N,)`` float64."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, log_s: Tensor, period: int, circuit: Circuit) -> Tensor:
        """Sum over the words of ``circuit``, whose residues are those modulo ``period``."""
        from onmt_lattice.lattices.kernels import circuit_sums  # numba takes a while to import

        gradient_rows = len(y) if any(ctx.needs_input_grad) else 0
        values = torch.empty(len(y), dtype=torch.float64)
        gradients = torch.empty(2, gradient_rows, y.shape[1], dtype=torch.float64)
        inputs = (v.detach().double().contiguous().numpy() for v in (y, log_s))
        circuit_sums.log_sums(*inputs, period, circuit, values.numpy(), gradients.numpy())
        ctx.save_for_backward(gradients)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients in the points and in the logs of the scales."""
        (gradients,) = ctx.saved_tensors
        return *(gradients * grad[:, None]), None, None
