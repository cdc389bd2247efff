"""A bottleneck's representation of sentences: quantized, written to bytes, read, and decoded.

``quantize`` makes the representation of sentences. ``write`` and ``read`` preserve it exactly on
any machine. ``output`` makes the decoder's input of it, in floating point: its last digits may
differ between machines, and so, now and then, may a word of the text.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from functools import singledispatch

import torch
from torch import Tensor

from onmt_lattice.bitstream.categorical import CategoricalCodec
from onmt_lattice.bitstream.dither import DitherKey
from onmt_lattice.bitstream.lattice_codec import LatticeCodec
from onmt_lattice.bitstream.logarithms import exponentials
from onmt_lattice.bottlenecks import (
    Bottleneck,
    GaussianBottleneck,
    IdentityBottleneck,
    LatticeBottleneck,
)
from onmt_lattice.bottlenecks.base import require_finite
from onmt_lattice.bottlenecks.straight_through import CategoricalBottleneck
from onmt_lattice.errors import UserError
from onmt_lattice.noise import StreamNoise


class RepresentationCodec(ABC):
    """Codes the ``representation`` of N sentences that a trained bottleneck makes, on the CPU.

    Attributes:
        fingerprint: a CRC-32 of everything that reading depends on.
    """

    fingerprint: int

    @abstractmethod
    def quantize(self, x: Tensor, key: DitherKey) -> Tensor:
        """Return the representation of X = ``x`` ``(N, m)``, sentences of ``key``."""

    @abstractmethod
    def write(self, representation: Tensor, key: DitherKey) -> bytes:
        """Return the bytes of ``representation``, without a header or an end mark."""

    @abstractmethod
    def read(self, payload: bytes, key: DitherKey) -> Tensor:
        """Return the representation in ``payload``, all of what :meth:`write` wrote.

        Raises:
            BitstreamError: if ``payload`` is detectably damaged.
        """

    @abstractmethod
    def output(self, representation: Tensor, key: DitherKey) -> Tensor:
        """Return ``(N, m)`` float32, the decoder's input."""

    @abstractmethod
    def values(self, representation: Tensor, key: DitherKey) -> Tensor:
        """Return ``(N, d)`` float64, the input of ``map_out``, the same on any machine.

        Each number comes from few others, by operations in a fixed order.
        """

    @abstractmethod
    def rate_nats(self, representation: Tensor, key: DitherKey) -> Tensor:
        """Return ``(N,)`` float64, the bottleneck's rate: the ideal code length in nats."""


class LatticePoints(RepresentationCodec):
    """The lattice points ``(N, d/n, n)`` float64 of a :class:`LatticeBottleneck`.

    Args:
        bottleneck: on any device; its channel is copied, in float64.

    Raises:
        UserError: if its code cannot be written.
    """

    def __init__(self, bottleneck: LatticeBottleneck) -> None:
        self.maps = bottleneck.map_in, bottleneck.map_out
        self.channel = copy.deepcopy(bottleneck.channel).cpu().double().requires_grad_(False)
        # A single subtraction of a checkpoint's numbers, which IEEE 754 rounds alike everywhere, so
        # that checkpoints need not hold the grid of scales.
        self.codec = LatticeCodec(self.channel.code, self.channel.block_log_scale)
        self._sigma = torch.from_numpy(exponentials(self.channel.log_sigma.numpy()))
        self.fingerprint = self.codec.fingerprint

    @torch.inference_mode()
    def quantize(self, x: Tensor, key: DitherKey) -> Tensor:
        """Return Z = K((μ − b)/σ + u), u the codec's dither."""
        mean = _apply(self.maps[0], x).double()
        x = self.channel.to_blocks(mean) + self.codec.dither(key)
        return require_finite(self.channel.lattice.nearest_point(x))

    def write(self, representation: Tensor, key: DitherKey) -> bytes:
        """See :meth:`RepresentationCodec.write`."""
        return self.codec.write(representation, key)

    def read(self, payload: bytes, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.read`."""
        return self.codec.read(payload, key)

    @torch.inference_mode()
    def output(self, representation: Tensor, key: DitherKey) -> Tensor:
        """Return C(b + σ(z − u)) + c."""
        return _apply(
            self.maps[1], self.channel.value(representation - self.codec.dither(key)).float()
        )

    @torch.inference_mode()
    def values(self, representation: Tensor, key: DitherKey) -> Tensor:
        """Return b + σ(z − u), with a σ that is the same everywhere."""
        y = self.channel.from_blocks(representation - self.codec.dither(key))
        return self.channel.center + self._sigma * y

    @torch.inference_mode()
    def rate_nats(self, representation: Tensor, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.rate_nats`."""
        return self.channel.rate_nats(representation - self.codec.dither(key), StreamNoise())


class QuantizerSymbols(RepresentationCodec):
    """The symbols ``(N, symbols)`` of quantizers of a finite alphabet.

    Args:
        bottleneck: on any device.
    """

    def __init__(self, bottleneck: CategoricalBottleneck) -> None:
        self.bottleneck = bottleneck
        self.codec = CategoricalCodec(bottleneck.logits)
        self.fingerprint = self.codec.fingerprint

    @torch.inference_mode()
    def quantize(self, x: Tensor, key: DitherKey) -> Tensor:
        """Return the symbols; there is no dither."""
        return self.bottleneck.symbols_of(self._on_device(x)).cpu()

    def write(self, representation: Tensor, key: DitherKey) -> bytes:
        """See :meth:`RepresentationCodec.write`."""
        return self.codec.write(representation)

    def read(self, payload: bytes, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.read`."""
        return self.codec.read(payload, len(key.indices))

    @torch.inference_mode()
    def output(self, representation: Tensor, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.output`."""
        return _apply(
            self.bottleneck.map_out, self.bottleneck.values(self._on_device(representation))
        )

    @torch.inference_mode()
    def values(self, representation: Tensor, key: DitherKey) -> Tensor:
        """Return the entries of the symbols."""
        return self.bottleneck.values(self._on_device(representation)).double().cpu()

    @torch.inference_mode()
    def rate_nats(self, representation: Tensor, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.rate_nats`."""
        return self.bottleneck.rate_nats(self._on_device(representation)).cpu()

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.bottleneck.logits.device)


@singledispatch
def representation_codec(bottleneck: Bottleneck) -> RepresentationCodec:
    """Return the codec of ``bottleneck``; another package registers a codec for its own class.

    Raises:
        UserError: if it has no code, with the reason.
    """
    raise UserError(
        f"bottleneck {bottleneck.name} has no codec: expected lattice, or quantizers such as "
        "ste_vector"
    )


@representation_codec.register
def _(bottleneck: GaussianBottleneck) -> RepresentationCodec:
    raise UserError(
        "bottleneck gaussian has no code: what it sends has a density and is never the same twice; "
        "put a lattice in place of its noise with 'onmt_lattice quantize'"
    )


@representation_codec.register
def _(bottleneck: IdentityBottleneck) -> RepresentationCodec:
    raise UserError(
        "bottleneck none has no code: it sends real numbers at no price; train with -bottleneck "
        "gaussian and put a lattice in with 'onmt_lattice quantize', or train with a lattice"
    )


representation_codec.register(LatticeBottleneck, LatticePoints)
representation_codec.register(CategoricalBottleneck, QuantizerSymbols)


def _apply(linear: torch.nn.Module, x: Tensor) -> Tensor:
    """Return ``linear`` of ``x``, computed on its own device, moved to the CPU."""
    device = next((p.device for p in linear.parameters()), x.device)
    return linear(x.to(device)).cpu()
