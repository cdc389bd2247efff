"""Quantizers of ``vector-quantize-pytorch``, each symbol with a learned distribution."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

from onmt_lattice.bottlenecks.base import (
    Bottleneck,
    BottleneckConfig,
    BottleneckOutput,
    is_distributed,
    option,
    register_bottleneck,
)
from onmt_lattice.bottlenecks.straight_through import (
    DEAD_USAGE,
    ENTRIES_HELP,
    VECTOR_DIM_HELP,
    CategoricalBottleneck,
    nearest_entry,
)
from onmt_lattice.config import Range
from onmt_lattice.errors import UserError
from onmt_lattice.noise import Noise

MAX_ENTRIES = 2**16  # of a codebook
WEIGHT = Range(0)
COMMITMENT = "weight of the squared distance between a vector and its entry, a mean over numbers"
CODEBOOK_DECAY = 0.99  # the library's 0.8 forgets in 5 batches, of one vector per sentence


@dataclasses.dataclass(frozen=True)
class FSQConfig(BottleneckConfig):
    """Options of the ``fsq`` bottleneck."""

    levels: int = option(5, ENTRIES_HELP, range=Range(2, MAX_ENTRIES))
    vector_dim: int = option(4, VECTOR_DIM_HELP, range=Range(1, 16))


@dataclasses.dataclass(frozen=True)
class LFQConfig(BottleneckConfig):
    """Options of the ``lfq`` bottleneck."""

    vector_dim: int = option(8, VECTOR_DIM_HELP, range=Range(1, 16))
    commitment_weight: float = option(0.0, COMMITMENT, range=WEIGHT)
    entropy_weight: float = option(
        0.1,
        "weight of the entropy of a choice less that of the batch's, a mean over codebooks",
        range=WEIGHT,
    )


@dataclasses.dataclass(frozen=True)
class ResidualConfig(BottleneckConfig):
    """Options of the ``residual_vq`` bottleneck."""

    levels: int = option(256, ENTRIES_HELP, range=Range(2, MAX_ENTRIES))
    quantizers: int = option(
        8, "number of quantizers, each of what those before it leave", range=Range(1, 256)
    )
    quantizer_dropout: bool = option(
        False, "train with a random number of the quantizers, so that the first few will do"
    )
    commitment_weight: float = option(1.0, COMMITMENT, range=WEIGHT)


class LibraryBottleneck(CategoricalBottleneck):
    """A quantizer of the library between the two linear maps.

    In training the library's forward pass makes the decoder's input, with its gradient, losses and
    updates of codebooks. X is normalized first, in training by its batch. Early in training X
    varies much less than its mean moves, so that without this all sentences would have the same
    symbols.
    """

    always_maps = True
    quantizer: Any  # an object of the library

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config)
        self.normalize = nn.BatchNorm1d(input_dim, affine=False)

    def reset_parameters(self) -> None:
        """See :meth:`CategoricalBottleneck.reset_parameters`."""
        super().reset_parameters()
        self.normalize.reset_running_stats()

    def inner(self, x: Tensor) -> Tensor:
        """See :meth:`CategoricalBottleneck.inner`."""
        mean, variance = self.normalize.running_mean, self.normalize.running_var
        return super().inner(nn.functional.batch_norm(x, mean, variance))

    def codebooks(self, config: BottleneckConfig) -> int:
        """Add the code of the codebooks of ``vector_dim`` numbers, and return their number.

        Raises:
            UserError: if ``vector_dim`` does not divide d, or the codebooks are too large.
        """
        settings = dataclasses.asdict(config)
        dim, entries = settings["vector_dim"], self.codebook_size(settings)
        count = self.vector_count(dim)
        if entries > MAX_ENTRIES:
            raise UserError(
                f"-vector_dim {dim}: codebooks of {entries} entries; expected at most {MAX_ENTRIES}"
            )
        self.add_code(count, entries)
        return self.symbol_count

    @abstractmethod
    def run_quantizer(self, inner: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Quantize ``inner`` ``(batch, 1, d)`` by the library, in training mode with its updates.

        Returns:
            ``(batch, 1, d)`` the quantized values, ``(batch, N or fewer)`` the symbols, and the
            penalty per sentence, one number for the batch.
        """

    def symbols_of(self, x: Tensor) -> Tensor:
        """See :meth:`CategoricalBottleneck.symbols_of`."""
        return self.run_quantizer(self.inner(x).unsqueeze(1))[1]

    def values(self, symbols: Tensor) -> Tensor:
        """See :meth:`CategoricalBottleneck.values`."""
        return self.quantizer.indices_to_codes(symbols).to(self.map_out.weight.dtype)

    def relaxed(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """See :meth:`Bottleneck.relaxed`: the real channel, with the library's gradient."""
        if not self.training:
            return self.quantized(x, noise)
        inner = self.map_in(self.normalize(x)) if len(x) > 1 else self.inner(x)
        if is_distributed():
            for average in filter(torch.is_floating_point, self.normalize.buffers()):
                torch.distributed.all_reduce(average)
                average /= torch.distributed.get_world_size()
        values, index, penalty = self.run_quantizer(inner.unsqueeze(1))
        penalties = None if penalty is None else penalty.expand(len(x))
        output = self.map_out(values.squeeze(1).to(x.dtype))
        return BottleneckOutput(output, self.rate_nats(index), index, penalties)


@register_bottleneck
class FSQBottleneck(LibraryBottleneck):
    """Finite scalar quantization (Mentzer et al., 2023): each number bounded and rounded.

    N = d/v codebooks of M^v entries: v numbers of M levels each have one learned code.
    """

    name = "fsq"
    summary = "finite scalar quantization, bounded numbers rounded to M levels"
    Config = FSQConfig

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config)
        config = cast(FSQConfig, config)
        self.quantizer = library(self).FSQ(
            [config.levels] * config.vector_dim,
            num_codebooks=self.codebooks(config),
            return_indices=False,  # run_quantizer computes them, without a list of entries
            preserve_symmetry=config.levels == 2,
        )
        self.reset_parameters()

    @staticmethod
    def codebook_size(settings: Mapping[str, Any]) -> int:
        """Return M^v."""
        return int(settings["levels"]) ** int(settings["vector_dim"])

    def run_quantizer(self, inner: Tensor) -> tuple[Tensor, Tensor, None]:
        """See :meth:`LibraryBottleneck.run_quantizer`."""
        values, _ = self.quantizer(inner)
        groups = values.detach().view(len(inner), self.symbol_count, self.quantizer.codebook_dim)
        return values, self.quantizer.codes_to_indices(groups).long(), None


@register_bottleneck
class LFQBottleneck(LibraryBottleneck):
    """Lookup-free quantization (Yu et al., 2023): the sign of each number.

    N = d/v codebooks of 2^v entries: v signs have one learned code. An entropy penalty favours
    confident choices in each sentence, and different ones in different sentences.
    """

    name = "lfq"
    summary = "lookup-free quantization, the signs of numbers"
    Config = LFQConfig

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config)
        config = cast(LFQConfig, config)
        self.quantizer = library(self).LFQ(
            dim=self.dim,
            num_codebooks=self.codebooks(config),
            codebook_size=self.alphabet,
            keep_num_codebooks_dim=True,
            entropy_loss_weight=config.entropy_weight,
            commitment_loss_weight=config.commitment_weight,
        )
        self.reset_parameters()

    @staticmethod
    def codebook_size(settings: Mapping[str, Any]) -> int:
        """Return 2^v."""
        return 2 ** int(settings["vector_dim"])

    def run_quantizer(self, inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`LibraryBottleneck.run_quantizer`."""
        values, index, penalty = self.quantizer(inner)
        return values, index.squeeze(1).long(), penalty


@register_bottleneck
class ResidualBottleneck(LibraryBottleneck):
    """Residual vector quantization: each of q codebooks of M entries codes the last one's residual.

    Entries are fitted by k-means to the first batch; then they are moving averages of the vectors
    nearest to them. An unused entry restarts at a vector of a batch. Several processes share the
    averages.
    """

    name = "residual_vq"
    summary = "residual vector quantization, each codebook for what the last one left"
    Config = ResidualConfig

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__(input_dim, config)
        config = cast(ResidualConfig, config)
        self.quantizer = library(self).ResidualVQ(
            dim=self.dim,
            num_quantizers=config.quantizers,
            codebook_size=config.levels,
            quantize_dropout=config.quantizer_dropout,
            kmeans_init=True,
            decay=CODEBOOK_DECAY,
            threshold_ema_dead_code=1,  # the count of an entry that restarts
            commitment_weight=config.commitment_weight,
            sync_codebook=is_distributed(),
        )
        self.add_code(config.quantizers, config.levels)
        self.reset_parameters()

    def run_quantizer(self, inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`LibraryBottleneck.run_quantizer`; skipped quantizers have no symbols."""
        for layer in self.quantizer.layers:
            book = layer._codebook
            book.threshold_ema_dead_code = DEAD_USAGE * book.cluster_size.mean()
        values, index, penalties = self.quantizer(inner)
        index = index.squeeze(1)
        return values, index[:, (index >= 0).all(0)], penalties.sum()

    def truncate(self, count: int) -> None:
        """Use only the first ``count`` quantizers from now on.

        Raises:
            UserError: if there are fewer.
        """
        if not 1 <= count <= self.symbol_count:
            raise UserError(
                f"-quantizers {count}: expected 1 to {self.symbol_count}, as the model has"
            )
        self.quantizer.layers = self.quantizer.layers[:count]
        self.logits = nn.Parameter(self.logits[:count].detach())
        self.symbol_count = count

    def symbols_of(self, x: Tensor) -> Tensor:
        """Return the index of the entry nearest to the residual, codebook by codebook."""
        residual, symbols = self.inner(x), []
        for entries in self.quantizer.codebooks:
            symbols.append(nearest_entry(residual.unsqueeze(1), entries.unsqueeze(0)))
            residual = residual - entries[symbols[-1][:, 0]]
        return torch.cat(symbols, 1)

    def values(self, symbols: Tensor) -> Tensor:
        """Return the sum of the entries, added in order: the same on any machine."""
        books = self.quantizer.codebooks
        return reduce(torch.add, (book[i] for book, i in zip(books, symbols.T, strict=True)))


def library(bottleneck: Bottleneck) -> Any:
    """Return the module ``vector_quantize_pytorch``, which the ``bottleneck`` needs.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import vector_quantize_pytorch
        from loguru import logger
    except ImportError as error:
        raise UserError(
            f"-bottleneck {bottleneck.name}: {error.name} is missing: pip install onmt_lattice[vq]"
        ) from error
    logger.disable(vector_quantize_pytorch.__name__)  # it warns of our small batches
    return vector_quantize_pytorch
