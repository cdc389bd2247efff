"""A bottleneck's representation of sentences: quantized, written to bytes, read, handed on.

Encoder and decoder have one outline: what is sent of a sentence is chosen by ``quantize``, goes
through ``write`` and ``read`` unchanged on any machine, and becomes the decoder's input by
``output``, in floating point: another machine's may differ in its last digits, and with it, now and
then, a word of the text.
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
from onmt_lattice.bottlenecks.straight_through import CategoricalBottleneck
from onmt_lattice.errors import UserError
from onmt_lattice.noise import StreamNoise


class RepresentationCodec(ABC):
    """Codes what a trained bottleneck sends of N sentences, here ``sent``, on the CPU.

    Attributes:
        fingerprint: a CRC-32 of what reading depends on.
    """

    fingerprint: int

    @abstractmethod
    def quantize(self, x: Tensor, key: DitherKey) -> Tensor:
        """Return what is sent of X = ``x`` ``(N, m)``, sentences of ``key``."""

    @abstractmethod
    def write(self, sent: Tensor, key: DitherKey) -> bytes:
        """Return the bytes of ``sent``; nothing in them says what they are or where they end."""

    @abstractmethod
    def read(self, payload: bytes, key: DitherKey) -> Tensor:
        """Return what was sent in ``payload``, the whole of what :meth:`write` wrote.

        Raises:
            BitstreamError: if that is not so, as far as it can be told.
        """

    @abstractmethod
    def output(self, sent: Tensor, key: DitherKey) -> Tensor:
        """Return ``(N, m)`` float32, what the decoder gets."""

    @abstractmethod
    def values(self, sent: Tensor, key: DitherKey) -> Tensor:
        """Return ``(N, d)`` float64, what ``map_out`` takes to the decoder.

        Each is made of few numbers, one operation after another, and the same on any machine.
        """

    @abstractmethod
    def rate_nats(self, sent: Tensor, key: DitherKey) -> Tensor:
        """Return ``(N,)`` float64, the ideal length of ``sent`` by the bottleneck's own rate."""


class LatticePoints(RepresentationCodec):
    """What is sent are the lattice points ``(N, d/n, n)`` float64 of a :class:`LatticeBottleneck`.

    Args:
        bottleneck: on any device; what it holds is copied, in float64.

    Raises:
        UserError: if its code cannot be written.
    """

    def __init__(self, bottleneck: LatticeBottleneck) -> None:
        self.maps = bottleneck.map_in, bottleneck.map_out
        self.channel = copy.deepcopy(bottleneck.channel).cpu().double().requires_grad_(False)
        # One subtraction of a checkpoint's numbers, which IEEE 754 rounds alike everywhere: so the
        # grid of scales need not be kept in a checkpoint.
        self.codec = LatticeCodec(self.channel.code, self.channel.placed_log_scale)
        self._sigma = torch.from_numpy(exponentials(self.channel.log_sigma.numpy()))
        self.fingerprint = self.codec.fingerprint

    @torch.inference_mode()
    def quantize(self, x: Tensor, key: DitherKey) -> Tensor:
        """Return Z = K((μ − b)/σ + u), u the codec's dither."""
        mean = _apply(self.maps[0], x).double()
        return self.channel.lattice.nearest_point(
            self.channel.placed(mean) + self.codec.dither(key)
        )

    def write(self, sent: Tensor, key: DitherKey) -> bytes:
        """See :meth:`RepresentationCodec.write`."""
        return self.codec.write(sent, key)

    def read(self, payload: bytes, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.read`."""
        return self.codec.read(payload, key)

    @torch.inference_mode()
    def output(self, sent: Tensor, key: DitherKey) -> Tensor:
        """Return C(b + σ(z − u)) + c."""
        return _apply(self.maps[1], self.channel.value(sent - self.codec.dither(key)).float())

    @torch.inference_mode()
    def values(self, sent: Tensor, key: DitherKey) -> Tensor:
        """Return b + σ(z − u), σ rounded as the same everywhere."""
        y = self.channel.coordinates(sent - self.codec.dither(key))
        return self.channel.center + self._sigma * y

    @torch.inference_mode()
    def rate_nats(self, sent: Tensor, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.rate_nats`."""
        return self.channel.rate_nats(sent - self.codec.dither(key), StreamNoise())


class Entries(RepresentationCodec):
    """What is sent are the symbols ``(N, symbols)`` of quantizers of a finite alphabet.

    Args:
        bottleneck: on any device.
    """

    def __init__(self, bottleneck: CategoricalBottleneck) -> None:
        self.bottleneck = bottleneck
        self.codec = CategoricalCodec(bottleneck.logits)
        self.fingerprint = self.codec.fingerprint

    @torch.inference_mode()
    def quantize(self, x: Tensor, key: DitherKey) -> Tensor:
        """Return what the quantizers choose; there is no dither."""
        return self.bottleneck.choose(self._there(x)).cpu()

    def write(self, sent: Tensor, key: DitherKey) -> bytes:
        """See :meth:`RepresentationCodec.write`."""
        return self.codec.write(sent)

    def read(self, payload: bytes, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.read`."""
        return self.codec.read(payload, len(key.indices))

    @torch.inference_mode()
    def output(self, sent: Tensor, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.output`."""
        return _apply(self.bottleneck.map_out, self.bottleneck.values(self._there(sent)))

    @torch.inference_mode()
    def values(self, sent: Tensor, key: DitherKey) -> Tensor:
        """Return the entries, as they are."""
        return self.bottleneck.values(self._there(sent)).double().cpu()

    @torch.inference_mode()
    def rate_nats(self, sent: Tensor, key: DitherKey) -> Tensor:
        """See :meth:`RepresentationCodec.rate_nats`."""
        return self.bottleneck.rate_nats(self._there(sent)).cpu()

    def _there(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.bottleneck.logits.device)


@singledispatch
def representation_codec(bottleneck: Bottleneck) -> RepresentationCodec:
    """Return the codec of what ``bottleneck`` sends; a package registers that of its own class.

    Raises:
        UserError: if it has no code, with the reason.
    """
    raise UserError(f"bottleneck {bottleneck.name} has no codec: expected lattice or ste_...")


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
representation_codec.register(CategoricalBottleneck, Entries)


def _apply(linear: torch.nn.Module, x: Tensor) -> Tensor:
    """Return ``linear`` of ``x``, computed where it is, on the CPU."""
    device = next((p.device for p in linear.parameters()), x.device)
    return linear(x.to(device)).cpu()
