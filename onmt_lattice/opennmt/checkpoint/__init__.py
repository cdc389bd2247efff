"""Checkpoints: safetensors files, written whole, with a digest, every value in them checked."""

from onmt_lattice.opennmt.checkpoint.checks import check_options
from onmt_lattice.opennmt.checkpoint.contents import (
    FILE_OPTIONS,
    OUR_KEY,
    embedded_files,
    host_random_state,
    random_state,
    set_random_state,
)
from onmt_lattice.opennmt.checkpoint.loading import (
    LoadedAutoencoder,
    build_autoencoder,
    check_loaded,
    checkpoint_errors,
    load_autoencoder,
    load_checkpoint,
    process_state,
)
from onmt_lattice.opennmt.checkpoint.saver import CheckpointSaver, write_checkpoint
from onmt_lattice.opennmt.checkpoint.tensor_checks import check_optimizer, check_raw

__all__ = [
    "FILE_OPTIONS",
    "OUR_KEY",
    "CheckpointSaver",
    "LoadedAutoencoder",
    "build_autoencoder",
    "check_loaded",
    "check_optimizer",
    "check_options",
    "check_raw",
    "checkpoint_errors",
    "embedded_files",
    "host_random_state",
    "load_autoencoder",
    "load_checkpoint",
    "process_state",
    "random_state",
    "set_random_state",
    "write_checkpoint",
]
