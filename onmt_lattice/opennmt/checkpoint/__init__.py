"""Checkpoints: safetensors files, written whole, with a digest, checked."""

from onmt_lattice.opennmt.checkpoint.contents import (
    FILE_OPTIONS,
    PLUGIN_KEY,
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

__all__ = [
    "FILE_OPTIONS",
    "PLUGIN_KEY",
    "CheckpointSaver",
    "LoadedAutoencoder",
    "build_autoencoder",
    "check_loaded",
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
