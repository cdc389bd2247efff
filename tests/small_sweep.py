"""A sweep on a little text of the embedded grammar, and the words that run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from onmt_lattice.experiments.corpus import corpus_text


def write_sweep(folder: Path, shared: dict[str, Any], sweep: dict[str, Any], train: int) -> Path:
    """Write the YAML of a ``sweep``, of what its runs share, and ``train`` lines and a few more."""
    (folder / "text").mkdir()
    lines = corpus_text("valid").splitlines(keepends=True)
    parts = {"train": lines[:train], "valid": lines[400:420], "test": lines[420:460]}
    for name, part in parts.items():
        (folder / "text" / f"{name}.en").write_text("".join(part), encoding="utf-8")
    (folder / "common.yaml").write_text(yaml.safe_dump(shared), encoding="utf-8")
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    return folder


def words(place: Path, output: str, *more: str) -> list[str]:
    """Return the words of the sweep into a folder of ``place``."""
    given = ["-text", str(place / "text"), "-output", str(place / output), "-jobs", "2"]
    config = [] if "-config" in more else ["-config", str(place / "sweep.yaml")]
    return ["sweep", *config, *given, *more]
