"""Bottlenecks between encoder and decoder; a new one is one file here, imported below."""

from onmt_lattice.bottlenecks.base import (
    Bottleneck,
    BottleneckConfig,
    BottleneckOutput,
    bottleneck_class,
    bottlenecks,
    has_code,
    make_bottleneck,
    option,
    register_bottleneck,
)
from onmt_lattice.bottlenecks.channel import (
    Channel,
    GaussianBottleneck,
    GaussianChannel,
    LatticeChannel,
)
from onmt_lattice.bottlenecks.lattice import LatticeBottleneck
from onmt_lattice.bottlenecks.none import IdentityBottleneck
from onmt_lattice.bottlenecks.straight_through import ScalarBottleneck, VectorBottleneck
from onmt_lattice.bottlenecks.vector_quantize import (
    FSQBottleneck,
    LFQBottleneck,
    ResidualBottleneck,
)

__all__ = [
    "Bottleneck",
    "BottleneckConfig",
    "BottleneckOutput",
    "Channel",
    "FSQBottleneck",
    "GaussianBottleneck",
    "GaussianChannel",
    "IdentityBottleneck",
    "LFQBottleneck",
    "LatticeBottleneck",
    "LatticeChannel",
    "ResidualBottleneck",
    "ScalarBottleneck",
    "VectorBottleneck",
    "bottleneck_class",
    "bottlenecks",
    "has_code",
    "make_bottleneck",
    "option",
    "register_bottleneck",
]
