"""Quantizers of finite alphabets with learned codes; the straight-through ones of the paper."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from typing_extensions import Self

from onmt_lattice.bottlenecks.base import (
    Bottleneck,
    BottleneckConfig,
    BottleneckOutput,
    is_distributed,
    option,
    register_bottleneck,
    require_finite,
)
from onmt_lattice.config import SIZE, Range
from onmt_lattice.errors import UserError
from onmt_lattice.noise import Noise

LEVELS = Range(2, SIZE.high)
# An option has the same help text for all bottlenecks.
ENTRIES_HELP = "M, the number of levels or code vectors of each quantizer"
VECTOR_DIM_HELP = "dimension of the code vectors of each quantizer"
LLOYD_ITERATIONS = 10
RESTART_BATCHES = 2000
USAGE_DECAY = 0.9
DEAD_USAGE = 0.1  # of uniform usage


def nearest_entry(x: Tensor, entries: Tensor) -> Tensor:
    """Return the index ``(batch, N)`` of the entry nearest to each vector.

    Args:
        x: ``(batch, N, v)``.
        entries: ``(N, M, v)``.
    """
    return (x.unsqueeze(2) - entries).square().sum(-1).min(-1).indices


def entries_at(entries: Tensor, index: Tensor) -> Tensor:
    """Return ``entries`` ``(N, M, v)`` at ``index`` ``(batch, N)``, as ``(batch, N, v)``."""
    return entries[torch.arange(len(entries), device=index.device), index]


def one_hot(index: Tensor, count: int) -> Tensor:
    """Return ``(..., M)`` bool, True at ``index`` ``(...)`` of M = ``count`` entries."""
    return index.unsqueeze(-1) == torch.arange(count, device=index.device)


def fit_entries(x: Tensor, count: int) -> Tensor:
    """Return ``count`` entries for each of N quantizers, fitted to a sample by Lloyd's algorithm.

    Starts at the quantiles of the sample along its first coordinate. The entry of an empty cell is
    not moved.

    Args:
        x: ``(sample, N, v)``.
        count: M.

    Returns:
        ``(N, M, v)``.
    """
    order = x[..., 0].argsort(0)
    ranks = ((torch.arange(count, device=x.device) + 0.5) / count * len(x)).long()
    start = order[ranks.clamp_max(len(x) - 1)].T  # (N, M)
    quantizers = torch.arange(x.shape[1], device=x.device).unsqueeze(1)
    entries = x[start, quantizers]
    for _ in range(LLOYD_ITERATIONS):
        member = one_hot(nearest_entry(x, entries), count).to(x)  # (sample, N, M)
        size = member.sum(0).unsqueeze(-1)
        means = torch.einsum("snm,snv->nmv", member, x) / size.clamp_min(1)
        entries = torch.where(size > 0, means, entries)
    return entries


@dataclasses.dataclass(frozen=True)
class ScalarConfig(BottleneckConfig):
    """Options of the ``ste_scalar`` bottleneck."""

    levels: int = option(2, ENTRIES_HELP, range=LEVELS)


@dataclasses.dataclass(frozen=True)
class VectorConfig(ScalarConfig):
    """Options of the ``ste_vector`` bottleneck."""

    levels: int = option(4, ENTRIES_HELP, range=LEVELS)
    vector_dim: int = option(2, VECTOR_DIM_HELP, range=SIZE)


class CategoricalBottleneck(Bottleneck):
    """N symbols of M values, each coded by a learned distribution of its own.

    The rate is −log of the probabilities of the symbols. Its gradient trains only them.

    Attributes:
        logits: ``(N, M)``, log probabilities, each row up to a constant.
    """

    logits: nn.Parameter
    symbol_count: int
    alphabet: int

    def add_code(self, symbol_count: int, alphabet: int) -> None:
        """Register the distributions of N = ``symbol_count`` of M = ``alphabet`` values."""
        self.symbol_count, self.alphabet = symbol_count, alphabet
        self.logits = nn.Parameter(torch.empty(symbol_count, alphabet))

    @classmethod
    def has_code(cls, settings: Mapping[str, Any]) -> bool:
        """See :meth:`Bottleneck.has_code`."""
        return True

    @classmethod
    def label(cls, settings: dict[str, Any]) -> str:
        """See :meth:`Bottleneck.label`."""
        return f"{cls.name} M={cls.codebook_size(settings)}"

    @staticmethod
    def codebook_size(settings: Mapping[str, Any]) -> int:
        """Return M."""
        return int(settings["levels"])

    def vector_count(self, vector_dim: int) -> int:
        """Return d/v, the number of vectors of v = ``vector_dim`` numbers.

        Raises:
            UserError: if v does not divide d.
        """
        if self.dim % vector_dim:
            raise UserError(
                f"-vector_dim {vector_dim} does not divide the bottleneck's {self.dim} dimensions; "
                f"choose a divisor, or another -bottleneck_dim"
            )
        return self.dim // vector_dim

    def reset_parameters(self) -> None:
        """Initialise the codes as uniform."""
        super().reset_parameters()
        nn.init.zeros_(self.logits)

    def inner(self, x: Tensor) -> Tensor:
        """Return ``(batch, d)``, the input of the quantizer for ``x`` ``(batch, m)``."""
        inner: Tensor = self.map_in(x)
        return inner if self.training else require_finite(inner)  # in training the loss shows it

    @abstractmethod
    def symbols_of(self, x: Tensor) -> Tensor:
        """Return the symbols ``(batch, N)`` int64 of ``x`` ``(batch, m)``."""

    @abstractmethod
    def values(self, symbols: Tensor) -> Tensor:
        """Return ``(batch, d)``, the quantized values of ``symbols`` ``(batch, N)``."""

    def quantized(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """See :meth:`Bottleneck.quantized`."""
        index = self.symbols_of(x)
        return BottleneckOutput(self.received(index, noise), self.rate_nats(index), index)

    def received(self, symbols: Tensor, noise: Noise) -> Tensor:
        """See :meth:`Bottleneck.received`."""
        return self.map_out(self.values(symbols))

    def rate_nats(self, symbols: Tensor) -> Tensor:
        """Return ``(batch,)``, the cost of ``symbols`` ``(batch, N)``, or of the first few of N."""
        log_code = torch.log_softmax(self.logits.double(), -1)[: symbols.shape[1]]
        return -entries_at(log_code.unsqueeze(-1), symbols).sum((1, 2))


class StraightThroughBottleneck(CategoricalBottleneck):
    """N = d/v quantizers of M learned entries in v dimensions, each with its own learned code.

    Forward, each vector is replaced by its nearest entry. Backward, both the vector and the nearest
    entry get the gradient of the output. The rate is −log of the entry's probability under its
    quantizer's learned distribution; its gradient trains that distribution only.

    The first training batch fits the entries by Lloyd's algorithm. As the encoder soon moves away
    from them, an entry that falls out of use in the first ``RESTART_BATCHES`` batches restarts at a
    vector of the batch. After that the entries are parameters like any other.

    Attributes:
        batches: scalar, the number of training batches so far; on the CPU, which reads it.
        usage: ``(N, M)``, the recent usage of each entry, a moving average.
    """

    # With a gain of 1 the decoder at first hardly sees the entries, which are fitted to X.
    encoder_gain = 10.0
    batches: Tensor
    usage: Tensor

    def __init__(self, input_dim: int, config: BottleneckConfig, vector_dim: int) -> None:
        super().__init__(input_dim, config)
        count, levels = self.vector_count(vector_dim), cast(ScalarConfig, config).levels
        self.entries = nn.Parameter(torch.empty(count, levels, vector_dim))
        self.add_code(count, levels)
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        self.register_buffer("usage", torch.empty(count, levels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the codes as uniform and, until the first batch, the entries as normal."""
        super().reset_parameters()
        nn.init.normal_(self.entries)
        self.batches.zero_()
        self.usage.fill_(1 / self.usage.shape[1])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert everything except the number of batches."""
        batches = self.batches
        super()._apply(fn, recurse)
        self.batches = batches
        return self

    @torch.no_grad()
    def _update_entries(self, x: Tensor) -> None:
        """Fit the entries to the first batch; restart dead entries in later ones."""
        entries = self.entries.data
        if self.batches == 0:
            entries.copy_(fit_entries(x, entries.shape[1]))
        else:
            member = one_hot(nearest_entry(x, entries), entries.shape[1])
            self.usage.lerp_(member.to(self.usage).mean(0), 1 - USAGE_DECAY)
            dead = self.usage < DEAD_USAGE / entries.shape[1]
            sample = torch.randint(len(x), dead.shape, device=x.device)  # (N, M)
            quantizers = torch.arange(len(entries), device=x.device).unsqueeze(1)
            torch.where(dead.unsqueeze(-1), x[sample, quantizers], entries, out=entries)
            self.usage.masked_fill_(dead, 1 / entries.shape[1])
        if is_distributed():
            torch.distributed.broadcast(entries, 0)
            torch.distributed.broadcast(self.usage, 0)
        self.batches += 1

    def quantized(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """See :meth:`Bottleneck.quantized`; differentiable in the straight-through way."""
        vectors = self.vectors(x)
        index = nearest_entry(vectors.detach(), self.entries.detach())
        straight_through = entries_at(self.entries, index) + (vectors - vectors.detach())
        return BottleneckOutput(
            self.map_out(straight_through.flatten(1)), self.rate_nats(index), index
        )

    def vectors(self, x: Tensor) -> Tensor:
        """Return ``(batch, N, v)``, the inputs of the quantizers for ``x`` ``(batch, m)``."""
        return self.inner(x).view(len(x), *self.entries.shape[::2])

    def symbols_of(self, x: Tensor) -> Tensor:
        """Return the index of each quantizer's nearest entry."""
        return nearest_entry(self.vectors(x), self.entries)

    def values(self, symbols: Tensor) -> Tensor:
        """Return the entries."""
        return entries_at(self.entries, symbols).flatten(1)

    def relaxed(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """See :meth:`Bottleneck.relaxed`: the real channel; entries follow the data at first."""
        if self.training and self.batches < RESTART_BATCHES:
            self._update_entries(self.vectors(x).detach())
        return self.quantized(x, noise)


@register_bottleneck
class ScalarBottleneck(StraightThroughBottleneck):
    """d scalar quantizers of M learned levels."""

    name = "ste_scalar"
    summary = "straight-through scalar quantizers of M learned levels"
    Config = ScalarConfig

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config, vector_dim=1)


@register_bottleneck
class VectorBottleneck(StraightThroughBottleneck):
    """d/v quantizers of M learned code vectors in v dimensions (v = 2 in the paper)."""

    name = "ste_vector"
    summary = "straight-through vector quantizers of M learned code vectors"
    Config = VectorConfig

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config, cast(VectorConfig, config).vector_dim)
