"""Training that survives: signals, kills, full disks, numbers that are not finite."""

from __future__ import annotations

import errno
import math
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Corpus, Fork, Mistake, Script, assert_equal, assert_same_end, train

from onmt_lattice.cli import main
from onmt_lattice.files import checkpoints
from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint as load
from onmt_lattice.opennmt.data.stream import TrainingBatches
from onmt_lattice.opennmt.options.parsers import RateWeight
from onmt_lattice.opennmt.training.history import read_history
from onmt_lattice.opennmt.training.resumption import only_training

STEPS = {"train_steps": 30, "save_checkpoint_steps": 10, "valid_steps": 15, "report_every": 4}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_to_the_same_end(
    corpus: Corpus, tmp_path: Path, number: signal.Signals
) -> None:
    average = {"average_decay": 0.1, "average_every": 3} if number == signal.SIGTERM else {}
    config = corpus.yaml(tmp_path / "a.yaml", **STEPS, **average)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, "-save_model", whole, "-log_json", f"{whole}.jsonl")
    words = ("-save_model", parts, "-log_json", f"{parts}.jsonl", "-resume", "auto")
    process = Fork(["train", "-config", config, *words, "-train_steps", 100_000], tmp_path / "log")
    while not (tmp_path / "parts_step_10.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    status, said = process.wait(), (tmp_path / "log").read_text()
    if number == signal.SIGKILL:
        assert status == -number
    else:
        assert status == 128 + number, said
        assert re.search(
            rf"stopped at step \d+ by {number.name}; \S+ is written, and -resume", said
        )
    for path in list(tmp_path.glob("parts_step_*.safetensors"))[1:]:
        if int(path.stem.split("_")[-1]) > 30:  # it was faster than the signal
            path.unlink()
    train(config, *words)
    assert_same_end(whole, parts, 30)


OPTIONS: dict[str, dict[str, Any]] = {
    "lstm": {
        **{"rnn_type": "LSTM", "layers": 2, "bottleneck_site": "all", "optim": "adafactor"},
        **{"dropout": [0.3, 0.2, 0.1], "dropout_steps": [0, 2, 4]},
    },
    "averaged": {
        **{"average_decay": 0.1, "average_every": 4, "optim": "sgd", "learning_rate": 0.5},
        **{"max_grad_norm": 0.5, "max_generator_batches": 3},
    },
    "accumulated": {
        **{"accum_count": [1, 3], "accum_steps": [0, 2], "normalization": "tokens"},
        **{"batch_type": "tokens", "batch_size": 200, "optim": "adagrad"},
    },
    "noisy": {
        **{"transforms": ["switchout", "bart"], "mask_length": "word", "mask_ratio": 0.3},
        **{"bottleneck_dim": None, "bottleneck": "ste_scalar", "optim": "adadelta"},
    },
    "warmed_up": {
        **{"decay_method": "noam", "warmup_steps": 5, "bottleneck_dim": None},
        **{"bottleneck": "ste_vector", "freeze_word_vecs_enc": True, "bucket_size": 10},
    },
    "averages": {
        **{"bottleneck": "residual_vq", "levels": 8, "quantizers": 3, "quantizer_dropout": True},
        "batch_size": 10,
    },
    "bf16": {"model_dtype": "bf16", "layers": 2, "dropout": [0.1]},
    "slots": {
        **{"encoder_type": "bottleneck_transformer", "bottleneck_slots": 2, "heads": 2},
        **{"word_vec_size": 32, "transformer_ff": 8, "param_init": None, "dropout": [0.1]},
        **{"share_embeddings": True, "share_decoder_embeddings": True, "model_dtype": "bf16"},
    },
    "pieces": {"transforms": ["sentencepiece"], "bottleneck": "lattice", "lattice": "E8"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_runs_of_any_options_go_on_to_the_same_end(
    corpus: Corpus, tmp_path: Path, name: str
) -> None:
    changes = dict(OPTIONS[name])
    if "sentencepiece" in changes.get("transforms", []):
        model = str(corpus.subwords(tmp_path / "pieces"))
        changes |= {"src_subword_model": model, "src_vocab": str(tmp_path / "vocab")}
    config = corpus.yaml(
        tmp_path / "a.yaml",
        **{"train_steps": 7, "save_checkpoint_steps": 3, "valid_steps": 4, "report_every": 2},
        **{"bucket_size": 70, **changes},
    )
    if "src_vocab" in changes:
        assert main(["build_vocab", "-config", str(config)]) == 0
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, "-save_model", whole, "-log_json", f"{whole}.jsonl")
    for end in ("_step_3.safetensors", ".jsonl"):
        shutil.copy(f"{whole}{end}", f"{parts}{end}")
    train(config, "-save_model", parts, "-log_json", f"{parts}.jsonl", "-resume", "auto")
    assert_same_end(whole, parts, 7)
    end = load(tmp_path / "parts_step_7.safetensors")
    assert end["optim"]["training_step"] == 8
    assert end["onmt_lattice"]["batches_taken"] == (2 + 5 * 3 if name == "accumulated" else 7)
    assert end["onmt_lattice"]["rate_weight"] == RateWeight(midpoint=100)(7)


def test_patience_goes_on(corpus: Corpus, tmp_path: Path) -> None:
    options = {"early_stopping": 3, "early_stopping_criteria": ["accuracy"], "valid_steps": 1}
    # Nothing is learned, so that after the first validation none is better.
    options |= {"save_checkpoint_steps": 1, "learning_rate": 1e-12, "train_steps": 20}
    config = corpus.yaml(tmp_path / "a.yaml", **options, save_model=str(tmp_path / "m"))
    log = tmp_path / "log"
    train(config, "-train_steps", 2)
    train(config, "-resume", "auto", "-log_file", log)
    assert "Resuming behind line" in log.read_text()
    assert list(checkpoints(tmp_path / "m")) == [1, 2, 3, 4]
    train(config, "-resume", "auto", "-log_file", log)
    assert "Step 4: stopped by -early_stopping, nothing left to train" in log.read_text()
    assert not (tmp_path / "m_step_5.safetensors").exists()


def test_a_run_does_not_start_where_there_are_checkpoints(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), train_steps=2)
    train(config, "-log_file", tmp_path / "new" / "log")
    said = mistake("train", "-config", config)
    assert f"holds checkpoints beyond step 0 already, up to {tmp_path}/m_step_2.safetensors" in said
    assert "-resume auto resumes from it" in said
    train(config, "-resume", "auto", "-train_steps", 4)
    words = ("-train_from", tmp_path / "m_step_2.safetensors", "-train_steps", 6)
    assert "beyond step 2" in mistake("train", "-config", config, *words)


def test_one_training_at_a_time_writes_checkpoints_of_a_name(
    corpus: Corpus, tmp_path: Path, mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, part = tmp_path / "m", tmp_path / ".m_step_2.safetensors.abcdefgh.part.safetensors"
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(base), train_steps=2)
    part.touch()
    with only_training(str(base)):
        part.touch()  # of a save under way
        for words in ((), ("-resume", "auto")):
            said = mistake("train", "-config", config, *words)
            assert f"-save_model {base}: another run is at work there" in said
        assert part.exists()
        train(config, "-save_model", tmp_path / "other")

    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    log = tmp_path / "log"
    train(config, "-log_file", log)
    assert f"WARNING] -save_model {base}: cannot be locked" in log.read_text()
    assert (tmp_path / "m_step_2.safetensors").exists() and not part.exists()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    options = {"save_model": str(tmp_path / "m"), "train_steps": 4, "save_checkpoint_steps": 2}
    config = corpus.yaml(tmp_path / "a.yaml", **options, log_file=str(tmp_path / "log"))
    train(config)
    whole = load(tmp_path / "m_step_4.safetensors")
    damaged = tmp_path / "m_step_4.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:10_000])
    part = tmp_path / f".{damaged.name}.abcdefgh.part.safetensors"  # of a killed run
    part.write_bytes(bytes(100))
    train(config, "-resume", "auto")
    assert f"{damaged}: damaged: its contents do not agree" in (tmp_path / "log").read_text()
    assert_equal(load(damaged)["model"], whole["model"])
    assert not list(tmp_path.glob(".m*.part*"))
    for path in tmp_path.glob("m_step_*.safetensors"):
        path.write_bytes(b"garbage")
    assert "none of the 2 checkpoints" in mistake("train", "-config", config, "-resume", "auto")


def test_a_checkpoint_under_the_name_of_another_step_is_passed_over(
    corpus: Corpus, tmp_path: Path
) -> None:
    """It would stay the newest for ever."""
    options = {"save_model": str(tmp_path / "m"), "train_steps": 2, "save_checkpoint_steps": 2}
    config = corpus.yaml(tmp_path / "a.yaml", **options, log_file=str(tmp_path / "log"))
    train(config)
    shutil.copy(tmp_path / "m_step_2.safetensors", tmp_path / "m_step_9999.safetensors")
    train(config, "-resume", "auto", "-train_steps", 4)
    train(config, "-resume", "auto", "-train_steps", 6)
    log = (tmp_path / "log").read_text()
    assert "m_step_9999.safetensors: is of step 2, not of 9999; looking" in log
    assert f"Loading checkpoint from {tmp_path}/m_step_4.safetensors" in log


def test_a_resumed_run_says_what_it_does_not_take_from_the_command_line_and_what_is_new(
    corpus: Corpus, tmp_path: Path
) -> None:
    other, log = tmp_path / "other", tmp_path / "log"
    tokens = corpus.vocabulary.read_text(encoding="utf-8")
    other.write_text(tokens + "zyzzyva\t1\n", encoding="utf-8")
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), resume="auto")
    train(config, "-train_steps", 1)
    train(config, "-train_steps", 2, "-log_file", log)
    assert "WARNING" not in log.read_text() and "stays" not in log.read_text()
    words = ("-rnn_size", 48, "-rnn_type", "LSTM", "-learning_rate", 0.5, "-src_vocab", other)
    words += ("-rate_weight", 2.0, "-rate_weight_schedule", "constant", "-model_dtype", "bf16")
    train(config, "-train_steps", 4, "-log_file", log, "-report_every", 1, *words)
    said = log.read_text(encoding="utf-8")
    for part in (
        "-rnn_type LSTM: the checkpoint's GRU stays",
        "-enc_rnn_size 48: the checkpoint's",
        "-learning_rate 0.5: the checkpoint's",
        "unless -reset_optim",
        "-rate_weight: the checkpoint had 1.0; continuing with 2.0",
        "-rate_weight_schedule: the checkpoint had logistic; continuing with constant",
        "-model_dtype: the checkpoint had fp32; continuing with bf16",
        f"-src_vocab {other}: its ",
    ):
        assert part in said
    assert said.count("lambda: 2.0000") >= 2
    saved = vars(load(tmp_path / "m_step_4.safetensors")["opt"])
    expected = {"train_steps": 4, "rate_weight": 2.0, "model_dtype": "bf16", "rnn_type": "GRU"}
    expected |= {"enc_rnn_size": 32, "learning_rate": 0.02}
    assert {name: saved[name] for name in expected} == expected


def test_a_run_with_another_optimizer_counts_anew_and_goes_on_to_the_same_end(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    start, whole, parts = tmp_path / "start", tmp_path / "whole", tmp_path / "parts"
    config = corpus.yaml(
        tmp_path / "a.yaml",
        **{"save_checkpoint_steps": 2, "valid_steps": 3, "report_every": 3, "train_steps": 4},
    )
    train(config, "-save_model", start)
    words = ("-train_from", f"{start}_step_4.safetensors", "-reset_optim", "all", "-optim", "sgd")
    train(config, *words, "-save_model", whole, "-log_json", f"{whole}.jsonl")
    checkpoint = load(tmp_path / "whole_step_4.safetensors")
    assert checkpoint["optim"]["training_step"] == 5 and checkpoint["opt"].optim == "sgd"
    shutil.copy(f"{whole}_step_2.safetensors", f"{parts}_step_2.safetensors")
    words += ("-resume", "auto")
    train(config, *words, "-save_model", parts, "-log_json", f"{parts}.jsonl")
    assert_equal(load(tmp_path / "parts_step_4.safetensors")["model"], checkpoint["model"])
    said = mistake("train", "-config", config, "-save_model", start, *words[:-2])
    assert "holds checkpoints beyond step 0 already" in said
    said = mistake("train", "-config", config, "-save_model", start, *words[2:])
    assert "-resume auto without -reset_optim all resumes from it" in said


def test_an_encoder_can_be_frozen_on_the_way(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), resume="auto")
    for steps, words in enumerate(((), ("-freeze_encoder",), ()), 1):
        train(config, "-train_steps", steps, *words)
    one, two, three = (load(tmp_path / f"m_step_{step}.safetensors") for step in (1, 2, 3))
    name = "encoder.rnn.weight_ih_l0"
    assert torch.equal(one["model"][name], two["model"][name])
    assert not torch.equal(two["model"][name], three["model"][name])
    assert two["optim"]["optimizer"]["state"].keys() < three["optim"]["optimizer"]["state"].keys()


def test_a_seed_that_is_drawn_is_told_and_kept(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", seed=-1, **STEPS)
    whole, parts, again = (tmp_path / name for name in ("whole", "parts", "again"))
    log = tmp_path / "log"
    words = ("-save_model", parts, "-log_json", f"{parts}.jsonl")
    train(config, *words, "-log_file", log, "-train_steps", 10)
    seed = int(re.findall(r"-seed (\d+) was drawn", log.read_text())[0])
    train(config, *words, "-resume", "auto")
    train(config, "-save_model", whole, "-log_json", f"{whole}.jsonl", "-seed", seed)
    assert_same_end(whole, parts, 30)
    train(config, "-save_model", again, "-train_steps", 10)
    assert load(tmp_path / "again_step_10.safetensors")["opt"].seed != seed


def test_a_disk_that_fills_up(
    corpus: Corpus, tmp_path: Path, mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**STEPS, "valid_steps": 30, "save_model": str(tmp_path / "m")}
    config = corpus.yaml(tmp_path / "a.yaml", **options)
    write = Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "wb" and path.name.startswith(".m_step_20"):
            raise OSError(28, "No space left on device", str(path))
        return write(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    said = mistake("train", "-config", config)
    assert f"checkpoint {tmp_path}/m_step_20.safetensors: cannot be written (" in said
    assert "No space left" in said and "Errno" not in said
    assert f"the last good one is {tmp_path}/m_step_10.safetensors" in said
    assert not list(tmp_path.glob(".m*.part*"))


def test_no_checkpoint_holds_what_is_not_finite(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    options = {**STEPS, "optim": "sgd", "learning_rate": 1e30, "max_grad_norm": 0.0}
    config = corpus.yaml(tmp_path / "a.yaml", **options, save_model=str(tmp_path / "m"))
    words = ("-log_file", tmp_path / "log", "-log_json", tmp_path / "history.jsonl")
    said = mistake("train", "-config", config, *words)
    assert "not finite" in said and "-learning_rate" in said and "there is none yet" in said
    assert not list(tmp_path.glob("*.safetensors"))
    last = read_history(words[-1])[-1]
    assert last["step"] == 20 and math.isnan(last["nll"])
    main(["train", "-config", str(config), "-learning_rate", "1e3", *map(str, words[:2])])
    assert "training diverges; a smaller -learning_rate" in (tmp_path / "log").read_text()


def test_the_best_checkpoint_is_kept_and_old_ones_are_counted(
    corpus: Corpus, tmp_path: Path
) -> None:
    options = {**STEPS, "keep_checkpoint": 2, "valid_steps": 5, "rate_weight_schedule": "constant"}
    config = corpus.yaml(tmp_path / "a.yaml", **options, save_model=str(tmp_path / "m"))
    words = ("-log_json", tmp_path / "h.jsonl")
    train(config, *words, "-train_steps", 10)
    train(config, *words, "-resume", "auto")
    left = {"m_step_20.safetensors", "m_step_30.safetensors", "m_best.safetensors"}
    assert {p.name for p in tmp_path.glob("*.safetensors")} == left
    # As if the run had been killed before it removed it.
    (tmp_path / "m_step_10.safetensors").write_bytes(b"x")
    train(config, *words, "-resume", "auto")
    assert {p.name for p in tmp_path.glob("*.safetensors")} == left
    totals = {e["step"]: e["total"] for e in read_history(words[1]) if e["event"] == "valid"}
    best = load(tmp_path / "m_best.safetensors")["onmt_lattice"]
    assert best["step"] == min(totals, key=lambda step: totals[step])
    assert best["best"] == min(totals.values())


def test_kills_leave_no_trace(script: Script) -> None:
    *counts, last = script("kill_training.py", "-kills", 8, "-seed", 1)
    assert sum(int(line.split()[-1]) for line in counts) == 8
    assert last.startswith("8 kills of ") and last.endswith("all ended as without them")


@pytest.mark.parametrize("accum", [1, 2])
def test_a_signal_is_heeded_while_data_are_read(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accum: int
) -> None:
    steps = {"train_steps": 6, "save_checkpoint_steps": 6, "bucket_size": 70, "batch_size": 10}
    config = corpus.yaml(tmp_path / "a.yaml", **steps, accum_count=[accum])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, "-save_model", whole)
    make = TrainingBatches.__iter__

    def stuck(self: TrainingBatches) -> Iterator[Any]:
        for taken, batch in enumerate(make(self)):
            if taken == 3:  # with two batches a step, in the middle of one
                os.kill(os.getpid(), signal.SIGTERM)
                while True:
                    random.random()
                    time.sleep(0.01)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(TrainingBatches, "__iter__", stuck)
        words = ["-config", config, "-save_model", parts]
        assert main(["train", *map(str, words)]) == 128 + signal.SIGTERM
    assert (tmp_path / f"parts_step_{3 // accum}.safetensors").exists()
    train(config, "-save_model", parts, "-resume", "auto")
    one, other = (load(Path(f"{base}_step_6.safetensors")) for base in (whole, parts))
    assert_equal(one["model"], other["model"])
