"""The history of a run: the numbers of its log, the same however often it was interrupted."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import BOTTLENECKS, Build, Corpus, Mistake, batch_of, lines_of, train
from hypothesis import example, given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.options.parsers import RateWeight
from onmt_lattice.opennmt.training.history import History, read_history

STEPS = {"train_steps": 20, "report_every": 2, "valid_steps": 5, "rate_weight_midpoint": 10}


def test_the_history_holds_the_numbers_of_the_log(corpus: Corpus, tmp_path: Path) -> None:
    """So do TensorBoard's events."""
    options = {**STEPS, **BOTTLENECKS["lattice_z"], "tensorboard": True}
    options |= {"tensorboard_log_dir": str(tmp_path / "board"), "save_model": str(tmp_path / "m")}
    config = corpus.yaml(tmp_path / "a.yaml", **options)
    log, history = tmp_path / "train.log", tmp_path / "history.jsonl"
    train(config, "-log_file", log, "-log_json", history)
    text, number = log.read_text(encoding="utf-8"), r"+([\d.]+)"
    numbers = rf"nll: {number} rate: {number} total: {number} bits/tok; lambda: {number}"
    entries = {(entry["event"], entry["step"]): entry for entry in read_history(history)}
    begin = rf"Step +(\d+)/20; acc: {number}.*ppl: {number}; xent: {number}; "
    reported = re.findall(rf"{begin}{numbers}; lr: ([\d.]+)", text)
    assert len(reported) == 10
    for step, accuracy, ppl, xent, *values in reported:
        entry = entries["train", int(step)]
        # xent is in nats, nll and rate in bits, a token.
        assert float(xent) == pytest.approx(entry["nll"] * math.log(2), abs=6e-3)
        assert float(ppl) == pytest.approx(2 ** entry["nll"], rel=1e-2)
        keys = ("nll", "rate", "total", "rate_weight", "learning_rate")
        found = [100 * entry["accuracy"], *(entry[key] for key in keys)]
        assert found == pytest.approx([float(value) for value in (accuracy, *values)], abs=6e-3)
        assert entry["rate_weight"] == RateWeight(midpoint=10)(int(step))
        assert entry["total"] == entry["nll"] + entry["rate"] and entry["grad_norm"] > 0
    for channel, prefix in (("quantized", ""), ("relaxed", "relaxed_")):
        validated = re.findall(rf"Validation {channel}; +{numbers}", text)
        for step, (nll, rate, *_) in zip(range(5, 21, 5), validated, strict=True):
            entry = entries["valid", step]
            found = [entry[f"{prefix}nll"], entry[f"{prefix}rate"]]
            assert found == pytest.approx([float(nll), float(rate)], abs=6e-4)
    (folder,) = (tmp_path / "board").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    tags = {"nll_bits": "nll", "rate_bits": "rate", "total": "total"}
    relaxed = {f"relaxed_{tag}": f"relaxed_{key}" for tag, key in tags.items() if tag != "total"}
    for event, kind, keys in (
        ("train", "progress", {**tags, "lambda": "rate_weight"}),
        ("valid", "valid", {**tags, **relaxed}),
    ):
        for tag, key in keys.items():
            for scalar in events.Scalars(f"{kind}/{tag}"):
                assert scalar.value == pytest.approx(entries[event, scalar.step][key], rel=1e-5)


def test_a_file_that_is_no_history_is_refused(refused: Mistake, tmp_path: Path) -> None:
    other = tmp_path / "text"
    other.write_text("precious\n", encoding="utf-8")
    assert f"{other}, line 1: no entry of a history" in refused("-log_json", other)
    assert f"{tmp_path}: is a folder; expected" in refused("-log_json", tmp_path)
    assert other.read_text(encoding="utf-8") == "precious\n"


@pytest.mark.parametrize("max_grad_norm", [0.0, 1e-3, 5.0])
def test_the_gradient_is_measured_before_it_is_clipped(
    build: Build, tmp_path: Path, max_grad_norm: float
) -> None:
    history = tmp_path / "history.jsonl"
    still = {"optim": "sgd", "learning_rate": 1e-30}  # so that it can be measured again
    trainer = build(**still, report_every=1, max_grad_norm=max_grad_norm, log_json=str(history))
    batch = batch_of(trainer, lines_of(800, 1)[:20])
    trainer.model_saver = None
    state = torch.get_rng_state()
    trainer.train([batch], 1, save_checkpoint_steps=0)
    torch.set_rng_state(state)
    trainer.model.zero_grad()
    decoded, attns = trainer.model(batch.src[0], batch.tgt, batch.src[1])
    trainer.train_loss.training_step = lambda: 1
    loss, _ = trainer.train_loss(batch, decoded, attns, normalization=20)
    loss.backward()
    norms = [p.grad.norm() for p in trainer.model.parameters() if p.grad is not None]
    (entry,) = read_history(history)
    assert entry["grad_norm"] == pytest.approx(torch.stack(norms).norm().item(), rel=1e-4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "history.jsonl"


def entry(step: int, event: str = "train", **numbers: float) -> dict[str, Any]:
    return {"event": event, "step": step, "seconds": step / 2, **numbers}


@given(st.lists(st.floats()))
@example([math.nan, math.inf, -math.inf])
def test_every_number_comes_back_from_json(tmp_path_factory: Any, numbers: list[float]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    history = History(path, 0)
    for step, nll in enumerate(numbers):
        history.append(entry(step, nll=nll))
    for line in path.read_text(encoding="utf-8").splitlines() if numbers else ():
        json.loads(line, parse_constant=refuse)
    # Equal, or both are not a number.
    assert [str(e["nll"]) for e in read_history(path)] == [str(float(n)) for n in numbers]


def test_a_run_that_goes_on_drops_what_comes_after_its_checkpoint(path: Path) -> None:
    history = History(path, 0)
    assert history.seconds == 0
    kept = [entry(2), entry(4), entry(4, "valid")]
    for each in [*kept, entry(6), entry(8), entry(8, "valid")]:
        history.append(each)
    again = History(path, 5)
    assert read_history(path) == kept and again.seconds == 2.0
    again.append(entry(6, nll=0.5))
    assert read_history(path) == [*kept, entry(6, nll=0.5)]
    assert History(path, 0).seconds == 0 and read_history(path) == []  # a run from the start


@pytest.mark.parametrize(
    "line",
    [
        *("no JSON", "3", "{}", '{"event": "train"}', '{"event": "end", "step": 1}', ""),
        *('{"event": "train", "step": 1}', '{"event": "train", "step": 1, "seconds": [1]}'),
    ],
)
def test_anything_else_is_refused_and_left_alone(path: Path, line: str) -> None:
    history = History(path, 0)
    history.append(entry(2))
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    before = path.read_bytes()
    for use in (read_history, lambda path: History(path, 0)):
        with pytest.raises(UserError, match=r"history.jsonl, line 2: no entry of a history"):
            use(path)
    assert path.read_bytes() == before
