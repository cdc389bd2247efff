"""Bottlenecks between encoder and decoder; a new one is one file here, imported below."""

from onmt_lattice.bottlenecks.base import (
    Bottleneck,
    BottleneckConfig,
    Bottlenecked,
    bottleneck_class,
    bottlenecks,
    has_code,
    make_bottleneck,
    option,
    register_bottleneck,
)
from onmt_lattice.bottlenecks.channel import Channel, GaussianChannel, LatticeChannel
from onmt_lattice.bottlenecks.gaussian import GaussianBottleneck
from onmt_lattice.bottlenecks.lattice import LatticeBottleneck
from onmt_lattice.bottlenecks.none import IdentityBottleneck
from onmt_lattice.bottlenecks.straight_through import ScalarBottleneck, VectorBottleneck

__all__ = [
    "Bottleneck",
    "BottleneckConfig",
    "Bottlenecked",
    "Channel",
    "GaussianBottleneck",
    "GaussianChannel",
    "IdentityBottleneck",
    "LatticeBottleneck",
    "LatticeChannel",
    "ScalarBottleneck",
    "VectorBottleneck",
    "bottleneck_class",
    "bottlenecks",
    "has_code",
    "make_bottleneck",
    "option",
    "register_bottleneck",
]
