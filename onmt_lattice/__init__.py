"""Text autoencoders for OpenNMT-py whose sentence representation is paid for in bits."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onmt_lattice.bitstream.vector_codec import VectorCodec
    from onmt_lattice.opennmt.inference.trained_model import TrainedModel

__version__ = "0.1.0"
__all__ = ["VectorCodec", "load"]


def load(path: str | os.PathLike[str], batch_size: int = 64, gpu: int = -1) -> TrainedModel:
    """Return the model of the checkpoint at ``path``, to encode, decode, compress and score with.

    Args:
        path: a checkpoint of ``onmt_lattice train`` or ``quantize``, a folder of ``export``, or
            ``hf://user/name``, such a folder on the Hugging Face hub.
        batch_size: sentences per batch.
        gpu: CUDA device, or −1 for the CPU.

    Raises:
        UserError: if there is no such model.
    """
    with warnings.catch_warnings():  # torch warns of what OpenNMT-py uses
        warnings.simplefilter("ignore")
        from onmt_lattice.opennmt.inference.trained_model import TrainedModel

    return TrainedModel(path, batch_size, gpu)


def __getattr__(name: str) -> object:
    if name != "VectorCodec":  # imported at its first use, as it needs torch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from onmt_lattice.bitstream.vector_codec import VectorCodec

    return VectorCodec
