"""The history of a training run: a line of JSON for every report and validation."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from onmt_lattice.errors import UserError, read_errors
from onmt_lattice.files import named_errors, write_text

NOT_FINITE = ("nan", "inf", "-inf")

Entry = dict[str, Any]


def read_history(path: str | os.PathLike[str]) -> list[Entry]:
    """Return the entries of a file of ``train -log_json``, in their order.

    Steps never decrease, and no report or validation is there twice. A last line without a line
    feed, from a killed run, is skipped. Each entry has

    ==================  ======================================================================
    ``event``           ``"train"`` (all steps since the last report) or ``"valid"``
    ``step``            training steps done
    ``seconds``         of training so far, without interruptions
    ``tokens_per_second``  target tokens, since the last report or in this validation
    ``nll``, ``rate``, ``total``  bits per target token, end of sentence included; in a validation
                        those of the real, quantized channel
    ``accuracy``        share of target tokens that were the decoder's first guess
    ``rate_weight``     λ
    ``learning_rate``   of the next step, as in the log
    ``grad_norm``       norm of the gradient at this step before it is clipped (``"train"`` only)
    ``relaxed_nll``, ``relaxed_rate``  of the relaxed channel (``"valid"`` only)
    ==================  ======================================================================

    Numbers that are not finite are the strings "nan", "inf" and "-inf" in the file, which is
    JSON, and floats here.
    """
    with read_errors(f"{path}"):
        lines = Path(path).read_bytes().split(b"\n")[:-1]
    return [_entry(path, number, line) for number, line in enumerate(lines, start=1)]


def _entry(path: str | os.PathLike[str], number: int, line: bytes) -> Entry:
    try:
        entry = json.loads(line)
        is_event = entry["event"] in ("train", "valid")
        if is_event and isinstance(entry["step"], int) and entry["seconds"] >= 0:
            return {k: float(v) if v in NOT_FINITE else v for k, v in entry.items()}
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path}, line {number}: no entry of a history; expected a file of -log_json")


class History:
    """A history that a run adds to.

    Attributes:
        seconds: of training up to that step.
    """

    def __init__(self, path: str | os.PathLike[str], step: int) -> None:
        self.path = Path(path)
        entries = read_history(path) if self.path.exists() else []
        entries = [entry for entry in entries if entry["step"] <= step]
        write_text(self.path, "".join(map(_line, entries)))
        self.seconds: float = entries[-1]["seconds"] if entries else 0.0

    def append(self, entry: Entry) -> None:
        """Add a line in a single write, so that no other process sees part of it."""
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            with named_errors(self.path):
                os.write(file, _line(entry).encode())
        finally:
            os.close(file)


def _line(entry: Entry) -> str:
    values = {
        k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()
    }
    return json.dumps(values, allow_nan=False) + "\n"
