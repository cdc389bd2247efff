"""The batches of training: OpenNMT-py's own, and the same from any place in the texts."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import onmt.bin.train
import pytest
import torch
from conftest import Corpus, assert_same_end, children, lines_of, train
from onmt.inputters.dynamic_iterator import build_dynamic_dataset_iter
from onmt.utils.misc import set_random_seed

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint.contents import PLUGIN_KEY, random_state
from onmt_lattice.opennmt.data.batch_worker import prefetch
from onmt_lattice.opennmt.data.stream import PositionTracker, training_batches
from onmt_lattice.opennmt.options import parsers as options
from onmt_lattice.opennmt.options import parsing
from onmt_lattice.opennmt.training import launch as training
from onmt_lattice.opennmt.training import plugin, process
from onmt_lattice.opennmt.training.process import position_of, resumed

Make = Callable[..., "Ingredients"]


class Ingredients(NamedTuple):
    """What OpenNMT-py makes batches from."""

    opt: Any
    fields: dict[str, Any]
    transforms_cls: dict[str, type]


@pytest.fixture
def make(corpus: Corpus, tmp_path: Path) -> Make:
    """Return what batches of small corpora are made from, with ``changes`` to the settings."""
    texts = {"few": 7, "some": 23, "many": 40}
    for seed, (name, count) in enumerate(texts.items()):
        lines = [*lines_of(count, seed), ""]  # an empty line is passed over
        (tmp_path / name).write_text("\n".join(lines + lines_of(2, 9)), encoding="utf-8")
    data = {
        name: {"path_src": str(tmp_path / name), "weight": weight}
        for name, weight in zip(texts, (1, 2, 1), strict=True)
    }

    def ingredients(**changes: Any) -> Ingredients:
        settings = {"data": data, "bucket_size": 13, "batch_size": 4, **changes}
        config = corpus.yaml(tmp_path / "s.yaml", **settings, save_model=str(tmp_path / "m"))
        plugin.install()
        opt = parsing.parse(options.train_parser, ["-config", str(config)])
        training.check_options(opt)
        set_random_seed(opt.seed, False)
        _, fields, transforms_cls = onmt.bin.train._init_train(opt)
        return Ingredients(opt, fields, transforms_cls)

    return ingredients


def content(batch: Any) -> list[torch.Tensor]:
    """Return all that training sees of a batch; draw a random number, as training does."""
    torch.rand(1)
    return [*batch.src, batch.tgt, batch.indices]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def checkpoints_of(stream: Any, count: int) -> Iterator[tuple[list[torch.Tensor], dict[str, Any]]]:
    """Yield ``count`` batches, each with the checkpoint that a run would write behind it."""
    follower = PositionTracker(stream)
    for taken, batch in enumerate(islice(follower, count), 1):
        seen = content(batch)
        position = pickle.loads(pickle.dumps(follower.position))
        process = {"random_state": random_state(), "position": position}
        yield seen, {PLUGIN_KEY: {"processes": [process], "batches_taken": taken}}


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tokens": {"batch_type": "tokens", "batch_size": 60},
    "multiple": {"batch_size_multiple": 3, "pool_factor": 2},
    "small_bucket": {"bucket_size": 3},
    "bucket_beyond_the_texts": {"bucket_size": 200, "batch_size": 9},
    "dropped": {"transforms": ["tokendrop", "filtertoolong"], "src_seq_length": 9},
    "switched": {"transforms": ["switchout", "tokenmask"], "batch_type": "tokens"},
    "bart": {"transforms": ["bart"], "mask_ratio": 0.3, "mask_length": "word", "random_ratio": 0.2},
}
BATCHES = 60


@pytest.mark.parametrize("stride, offset", [(1, 0), (3, 2)])
@pytest.mark.parametrize("name", SETTINGS)
def test_batches_are_opennmt_s_and_the_same_from_any_position(
    make: Make, name: str, stride: int, offset: int
) -> None:
    made = make(**SETTINGS[name])
    made.opt.world_size = stride
    stock = build_dynamic_dataset_iter(
        *(made.fields, made.transforms_cls, made.opt), stride=stride, offset=offset
    )
    set_random_seed(7, False)
    expected = [content(batch) for batch in islice(stock, BATCHES)]
    stream = training_batches(*made, stride, offset)
    set_random_seed(7, False)
    runs = list(checkpoints_of(stream, BATCHES))
    assert all(same(seen, batch) for (seen, _), batch in zip(runs, expected, strict=True))
    for src, _, tgt, _ in expected:
        words = tgt[1:].where(tgt[1:] != made.fields["tgt"].base_field.vocab.stoi["</s>"], 1)
        assert torch.equal(words[:-1], src)  # noise is the same in both, 1 is padding
    assert any(p["pass"] > 1 for p in position_of(runs[-1][1], 0)["texts"].values())
    for taken in range(1, BATCHES - 5, 3):
        checkpoint = runs[taken - 1][1]
        again = training_batches(*made, stride, offset, position_of(checkpoint, 0))
        set_random_seed(1000 + taken, False)
        follower = PositionTracker(resumed(again, checkpoint, 0))
        for number, batch in enumerate(islice(follower, 5), taken):
            assert same(content(batch), expected[number]), (taken, number)
            want, got = position_of(runs[number][1], 0), follower.position
            assert got is not None and got["taken"] == want["taken"]
            assert (got["texts"], got["turn"]) == (want["texts"], want["turn"])


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return what OpenNMT-py's logger has said."""
    for name in ("onmt.utils.logging", "root"):
        caplog.set_level(logging.INFO, name)
    return lambda: "\n".join(caplog.messages)


def test_a_checkpoint_without_a_position_has_its_batches_read_again(
    make: Make, log: Callable[[], str]
) -> None:
    made = make()
    runs = list(checkpoints_of(training_batches(*made), 30))
    checkpoint = runs[19][1]
    checkpoint[PLUGIN_KEY]["processes"][0]["position"] = None
    batches = resumed(training_batches(*made), checkpoint, 0)
    assert all(same(content(next(batches)), seen) for seen, _ in runs[20:])
    assert "the 20 batches before it are read again" in log()
    assert "Read 10 of 20 batches again" in log()


def test_a_text_that_has_changed_is_read_from_its_first_line(
    make: Make, tmp_path: Path, log: Callable[[], str]
) -> None:
    made = make()
    (*_, (_, checkpoint)) = checkpoints_of(training_batches(*made), 20)
    position = position_of(checkpoint, 0)
    begin = position["texts"]["many"]["begin"]
    path = tmp_path / "many"
    text = path.read_bytes()
    first = content(next(iter(training_batches(*made))))
    for changed in (
        text + b"one more\n",
        text[:begin] + bytes([text[begin] ^ 1]) + text[begin + 1 :],
    ):
        path.write_bytes(changed)
        again = PositionTracker(training_batches(*made, position=position))
        indices = next(iter(again)).indices
        assert len(indices) == len(first[-1]) and again.position is not None
        assert all(p["lines"] == 0 for p in again.position["texts"].values())
        assert "they are read from their first lines" in log()
    path.write_bytes(text)
    assert position["texts"]["many"]["lines"] > 0
    other = make(data={"other": {"path_src": str(path)}})
    assert next(iter(training_batches(*other, position=position))).position["turn"] == 0


def test_another_number_of_processes_goes_on_at_the_same_line(
    make: Make, log: Callable[[], str]
) -> None:
    made = make()
    (*_, (_, checkpoint)) = checkpoints_of(training_batches(*made), 20)
    position = position_of(checkpoint, 0)
    made.opt.world_size = 2
    for offset in (0, 1):
        follower = PositionTracker(training_batches(*made, 2, offset, position))
        next(iter(follower))
        assert follower.position is not None
        assert follower.position["texts"] == position["texts"]
    assert "of 1 processes, this run has 2: they share the lines anew" in log()


def test_a_process_without_a_line_is_told(make: Make) -> None:
    with pytest.raises(UserError, match="no sentence in the lines of process 50 of 50"):
        next(iter(training_batches(*make(), 50, 49)))


def test_another_process_makes_the_same_batches(make: Make) -> None:
    made = make(**SETTINGS["switched"])
    set_random_seed(7, False)
    here = PositionTracker(training_batches(*made))
    expected = [([*b.src, b.tgt, b.indices], here.position) for b in islice(here, 20)]
    set_random_seed(7, False)
    batches = prefetch(training_batches(*made))
    there = PositionTracker(batches)
    for batch, (seen, position) in zip(there, expected, strict=False):
        assert same(content(batch), seen)  # which draws random numbers between them
        assert repr(there.position) == repr(position)
    batches.close()
    assert not children()
    # From a position, another process makes them too.
    again = prefetch(training_batches(*made, 1, 0, expected[9][1]))
    for batch, (seen, _) in zip(again, expected[10:], strict=False):
        assert same(content(batch), seen)
    again.close()


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
    monkeypatch.setattr(process, "uses_batch_worker", lambda device: True)
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
        while True:  # the pipe holds some hundreds that it made before
            next(batches)


@pytest.mark.usefixtures("forked")
def test_signals_do_not_end_it() -> None:
    batches = prefetch(Stream(10**9, UserError("")))
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(next(batches).made_by, number)
    assert [batch.number for batch in islice(batches, 100)] == list(range(2, 102))
    batches.close()
