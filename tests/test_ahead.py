"""Batches made by another process: the same ones, and a run with them goes on bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Corpus, children
from test_training import assert_same_end, train

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.data.batch_worker import AHEAD, prefetch
from onmt_lattice.opennmt.training import process


class Stream:
    """Batches that say their number, an error at the end."""

    def __init__(self, count: int, error: Exception) -> None:
        self.count = count
        self.error = error

    def __iter__(self) -> Iterator[Any]:
        for number in range(self.count):
            yield SimpleNamespace(number=number, fields={}, made_by=os.getpid())
        raise self.error


@pytest.mark.usefixtures("forked")
def test_a_run_with_batches_made_ahead_goes_on_to_the_same_end(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "makes_ahead", lambda device: True)
    steps = {"train_steps": 11, "save_checkpoint_steps": 4, "valid_steps": 5, "report_every": 3}
    options = {**steps, "transforms": ["switchout", "tokendrop"], "bucket_size": 70}
    config = corpus.yaml(tmp_path / "a.yaml", **options, dropout=[0.2], layers=2, accum_count=[2])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, "-save_model", whole, "-log_json", f"{whole}.jsonl")
    for end in ("_step_4.safetensors", ".jsonl"):
        shutil.copy(f"{whole}{end}", f"{parts}{end}")
    train(config, "-save_model", parts, "-log_json", f"{parts}.jsonl", "-resume", "auto")
    assert_same_end(whole, parts, 11)
    assert not children()


@pytest.mark.usefixtures("forked")
def test_an_error_in_the_stream_is_raised_behind_the_batches_before_it() -> None:
    batches = prefetch(Stream(3, UserError("text.en: line 4: not UTF-8")))
    assert [batch.number for batch in islice(batches, 3)] == [0, 1, 2]
    with pytest.raises(UserError, match="line 4: not UTF-8"):
        next(batches)
    assert not children()


@pytest.mark.usefixtures("forked")
def test_a_process_that_has_ended_is_told() -> None:
    batches = prefetch(Stream(10**9, UserError("")))
    os.kill(next(batches).made_by, signal.SIGKILL)
    with pytest.raises(UserError, match="has ended with status -9"):
        for _ in range(10 * AHEAD):
            next(batches)


@pytest.mark.usefixtures("forked")
def test_signals_do_not_end_it() -> None:
    batches = prefetch(Stream(10**9, UserError("")))
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(next(batches).made_by, number)
    assert [batch.number for batch in islice(batches, 100)] == list(range(2, 102))
    batches.close()
