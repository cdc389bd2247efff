"""Checkpoints: safetensors files, written whole, with a digest, checked."""
