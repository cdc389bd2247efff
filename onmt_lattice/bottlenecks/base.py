"""The interface of a bottleneck and the registry that other packages extend."""

from __future__ import annotations

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoints, entry_points
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, distributed, nn

from onmt_lattice.config import SIZE, Config, Range, option
from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.lattices.registry import Registry
from onmt_lattice.noise import Noise

ENTRY_POINT_GROUP = "onmt_lattice.bottlenecks"


class BottleneckOutput(NamedTuple):
    """The output of a bottleneck.

    Attributes:
        output: ``(batch, m)``, the input of the decoder.
        rate_nats: ``(batch,)`` float64, the cost of the representation of each sentence.
        symbols: ``(batch, symbols per sentence)`` int64, the representation: indices of a
            quantizer's entries, or coordinates of lattice points in their bases; None if nothing
            discrete is sent (``none``, ``gaussian``, and in training).
        penalty: ``(batch,)``, added to the loss in training beside λ · rate; None for nothing.
    """

    output: Tensor
    rate_nats: Tensor
    symbols: Tensor | None
    penalty: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class BottleneckConfig(Config):
    """Options of a bottleneck; subclasses add theirs with :func:`~onmt_lattice.config.option`.

    Attributes:
        bottleneck_dim: d, the dimension between the linear maps m → d → m; 0 means m.
    """

    bottleneck_dim: int = option(
        0,
        "dimension d between the maps m -> d -> m; 0 for m",
        range=Range(SIZE.low, SIZE.high, also=(0,), meaning="m"),
    )


class Bottleneck(nn.Module, ABC):
    """The only path from encoder to decoder: X ``(batch, m)`` in, Ŷ ``(batch, m)`` out.

    A bottleneck works on d numbers between a linear map m → d and another d → m. ``forward`` is
    the relaxed, differentiable channel in training and the real, quantized one otherwise.

    Args:
        input_dim: m.
        config: an instance of the class's ``Config``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Config: ClassVar[type[BottleneckConfig]] = BottleneckConfig
    always_maps: ClassVar[bool] = False
    encoder_gain: ClassVar[float] = 1.0  # of the map m → d when training starts
    is_code: ClassVar[bool] = True  # whether rate + NLL is the length of a code for the sentence
    alphabet: int | None = None  # number of values of each symbol, if finite
    symbol_count: int | None = None  # symbols per sentence, if anything discrete is sent

    def __init__(self, input_dim: int, config: BottleneckConfig) -> None:
        super().__init__()
        if type(input_dim) is not int or input_dim not in SIZE:
            raise UserError(
                f"X of {input_dim!r} numbers: expected a positive integer of at most {SIZE.high}"
            )
        self.input_dim = input_dim
        self.dim = config.bottleneck_dim or input_dim
        mapped = self.always_maps or self.dim != input_dim
        self.map_in: nn.Module = nn.Linear(input_dim, self.dim) if mapped else nn.Identity()
        self.map_out: nn.Module = nn.Linear(self.dim, input_dim) if mapped else nn.Identity()

    @classmethod
    def label(cls, settings: dict[str, Any]) -> str:
        """Return the name of the bottleneck with these ``settings`` in tables and plots."""
        return cls.name

    @classmethod
    def has_code(cls, settings: Mapping[str, Any]) -> bool:
        """Return whether the bottleneck's representation with these ``settings`` can be written.

        A setting that is missing has its default. A class that registers a codec overrides this.
        """
        return False

    def reset_parameters(self) -> None:
        """Initialise every parameter; called once more after OpenNMT-py's ``param_init``."""
        for linear, gain in ((self.map_in, self.encoder_gain), (self.map_out, 1.0)):
            if isinstance(linear, nn.Linear):
                nn.init.orthogonal_(linear.weight, gain)
                nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """Return :meth:`relaxed` in training mode, else :meth:`quantized`."""
        return self.relaxed(x, noise) if self.training else self.quantized(x, noise)

    @abstractmethod
    def relaxed(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """Return the differentiable channel's output and rate for ``x`` ``(batch, m)``."""

    @abstractmethod
    def quantized(self, x: Tensor, noise: Noise) -> BottleneckOutput:
        """Return the real channel's output, rate and symbols for ``x`` ``(batch, m)``."""

    def received(self, symbols: Tensor, noise: Noise) -> Tensor:
        """Return ``(batch, m)``, the decoder's input for ``symbols`` ``(batch, symbols)`` int64.

        With equal ``noise`` it equals the output of :meth:`quantized` to the last bit.

        Raises:
            UserError: if nothing discrete is sent.
        """
        self.require_symbols()
        raise NotImplementedError(f"{type(self).__name__}.received")

    def require_symbols(self) -> None:
        """Raise :class:`UserError` if nothing discrete is sent."""
        if self.symbol_count is None:
            raise UserError(
                f"-bottleneck {self.name} sends nothing discrete: expected a model with "
                "-bottleneck lattice, which 'onmt_lattice quantize' makes of one with gaussian, or "
                "with quantizers, such as ste_vector"
            )


def require_finite(x: Tensor) -> Tensor:
    """Return ``x`` ``(batch, …)``, the input of a quantizer.

    Raises:
        UserError: if a number is not finite: no symbol represents it.
    """
    finite = x.isfinite().flatten(1).all(1)
    if not finite.all():
        raise UserError(
            f"X of {int((~finite).sum())} sentences of {len(x)} is not finite, or too far out, and "
            f"has no quantized representation; the model's weights are broken or its input is"
        )
    return x


def is_distributed() -> bool:
    """Return whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized()


_BOTTLENECKS: Registry[Bottleneck] = Registry("bottleneck", Bottleneck)


def register_bottleneck(cls: type[Bottleneck]) -> type[Bottleneck]:
    """Class decorator: make a bottleneck available as ``-bottleneck <cls.name>``.

    Raises:
        TypeError: if ``cls`` is no :class:`Bottleneck`, has no name, or its ``Config`` is no
            frozen dataclass.
        ValueError: if the name is taken.
    """
    config = getattr(cls, "Config", BottleneckConfig)  # the registry refuses other classes
    own_fields = "__dataclass_fields__" in vars(config)  # without @dataclass, fields are lost
    if not (own_fields and issubclass(config, BottleneckConfig)):
        raise TypeError(f"{cls.__name__}.Config must be a dataclass derived of BottleneckConfig")
    _BOTTLENECKS.add(getattr(cls, "name", None), cls)
    return cls


def bottlenecks() -> dict[str, type[Bottleneck]]:
    """Return every bottleneck by name: the built-in ones and those of installed packages.

    Another package offers one through an entry point of the group ``onmt_lattice.bottlenecks``
    that names its class.

    Raises:
        UserError: if such a class cannot be loaded, is not a bottleneck, or has a taken name.
    """
    for entry in _entry_points(tuple(sys.path)):
        try:
            register_bottleneck(entry.load())
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise UserError(
                f"the installed bottleneck {entry.name!r} ({entry.value}) cannot be used: {error}; "
                f"mend or uninstall the package it comes from"
            ) from error
    return {name: _BOTTLENECKS[name] for name in _BOTTLENECKS.names()}


@lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> EntryPoints:
    """Return the entry points of packages on ``path``, that is sys.path; a search takes 20 ms."""
    return entry_points(group=ENTRY_POINT_GROUP)


def bottleneck_class(name: str) -> type[Bottleneck]:
    """Return the class registered as ``name``.

    Raises:
        UserError: if there is none; the error lists the existing ones.
    """
    bottlenecks()  # registers those of other packages
    return _BOTTLENECKS[name]


def has_code(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether the representation of the bottleneck ``name`` can be written to a file.

    See :meth:`Bottleneck.has_code`; False for a bottleneck that is not installed.
    """
    cls = bottlenecks().get(name)
    return cls is not None and cls.has_code(settings)


def make_bottleneck(name: str, input_dim: int, **options: Any) -> Bottleneck:
    """Return the bottleneck ``name`` for X of ``input_dim`` numbers; ``options`` are of its Config.

    >>> make_bottleneck("lattice", 500, lattice="E8")  # doctest: +SKIP
    """
    cls = bottleneck_class(name)
    valid = {field.name for field in dataclasses.fields(cls.Config)}
    for key in options:
        if key not in valid:
            raise unknown_name(f"option of bottleneck {name}", key, valid)
    return cls(input_dim, cls.Config(**options))
