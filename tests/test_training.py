"""Training through the command line: resumption, its log, several processes, subwords."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import (
    BOTTLENECKS,
    Corpus,
    Mistake,
    Trained,
    assert_equal,
    assert_same_end,
    children,
    free_port,
    train,
)

from onmt_lattice.cli import main
from onmt_lattice.evaluation.result import Evaluation
from onmt_lattice.files import checkpoints
from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint as load
from onmt_lattice.opennmt.checkpoint.saver import write_checkpoint
from onmt_lattice.opennmt.training.history import read_history

# ---- resumption ----------------------------------------------------------------------------------


def log_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_finished_run_does_nothing(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), train_steps=3)
    train(config)
    before = (tmp_path / "m_step_3.safetensors").read_bytes()
    for steps in (3, 2):
        log = tmp_path / f"{steps}.log"
        words = ("-train_steps", steps, "-log_file", log)
        train(config, "-train_from", tmp_path / "m_step_3.safetensors", *words)
        assert f"Step 3 of {steps}: nothing left to train" in log_of(log)
    assert [p.name for p in tmp_path.glob("*.safetensors")] == ["m_step_3.safetensors"]
    assert (tmp_path / "m_step_3.safetensors").read_bytes() == before


def test_another_bottleneck_is_refused(
    corpus: Corpus, tmp_path: Path, trained: Trained, mistake: Mistake
) -> None:
    resumed = ("-train_from", trained("gaussian"), "-train_steps", 1000)
    lattice = {"bottleneck_dim": None, **BOTTLENECKS["lattice_z"]}
    for changes, then, now in (
        (lattice, "bottleneck gaussian", "bottleneck lattice, lattice Z"),
        ({"bottleneck_dim": 8}, "bottleneck_dim 16", "bottleneck_dim 8"),
        ({"bottleneck_site": "all"}, "bottleneck_site top", "bottleneck_site all"),
    ):
        config = corpus.yaml(tmp_path / "a.yaml", **changes, save_model=str(tmp_path / "m"))
        said = mistake("train", "-config", config, *resumed)
        assert f"its bottleneck is {then}, not {now}" in said
    assert not list(tmp_path.glob("m*"))


def test_a_vocabulary_can_be_changed_on_the_way(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), train_steps=2)
    train(config)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text(corpus.vocabulary.read_text() + "zyzzyva\t1\n")
    words = ("-update_vocab", "-reset_optim", "states", "-src_vocab", vocabulary)
    train(config, "-train_from", tmp_path / "m_step_2.safetensors", "-train_steps", 3, *words)
    before, after = (load(tmp_path / f"m_step_{step}.safetensors") for step in (2, 3))
    assert len(after["generator"]["0.bias"]) > len(before["generator"]["0.bias"])
    key = "encoder.bottleneck.map_in.weight"
    torch.testing.assert_close(after["model"][key], before["model"][key], rtol=0, atol=0.05)


# ---- several processes ---------------------------------------------------------------------------


@pytest.mark.usefixtures("forked")
def test_two_processes_are_one_with_their_batches_together(corpus: Corpus, tmp_path: Path) -> None:
    lines = corpus.train.read_text(encoding="utf-8").splitlines(keepends=True)[:16]
    text = tmp_path / "sixteen.en"
    text.write_text("".join(lines), encoding="utf-8")
    # Each process sees every other line: all of its lines in each batch.
    settings = {
        **{"bottleneck_dim": None, **BOTTLENECKS["ste_scalar"], "rate_weight_schedule": "constant"},
        "data": {"c": {"path_src": str(text)}, "valid": {"path_src": str(text)}},
        **{"optim": "sgd", "learning_rate": 0.5, "max_grad_norm": 0.0, "normalization": "tokens"},
        **{"report_every": 1, "valid_steps": 3},
    }
    start = tmp_path / "start_step_1.safetensors"
    one = corpus.yaml(tmp_path / "one.yaml", **settings, batch_size=16, bucket_size=16)
    train(one, "-save_model", tmp_path / "start", "-train_steps", 1)
    checkpoint = load(start)
    checkpoint["model"]["encoder.bottleneck.batches"].fill_(10**6)  # they follow the data no more
    write_checkpoint(start, checkpoint)
    resumed = ("-train_from", start, "-train_steps", 5)
    history = ("-log_json", tmp_path / "one.jsonl")
    train(one, *resumed, *history, "-save_model", tmp_path / "one")

    two = corpus.yaml(
        tmp_path / "two.yaml",
        **{**settings, "batch_size": 8, "bucket_size": 8, "world_size": 2, "gpu_ranks": [0, 1]},
        **{"gpu_backend": "gloo", "master_port": free_port()},
    )
    log = tmp_path / "two.log"
    words = ("-save_model", tmp_path / "two", "-log_json", tmp_path / "two.jsonl")
    train(two, *resumed, *words, "-log_file", log)
    assert log_of(log).count("Step 5/5") == 1 and log_of(log).count("Validation quantized") == 1

    # Were the processes' parameters apart, their gradients would be, too, and the next steps'.
    expected, found = (load(tmp_path / f"{name}_step_5.safetensors") for name in ("one", "two"))
    for part in ("model", "generator"):
        for key, value in expected[part].items():
            torch.testing.assert_close(found[part][key], value, rtol=1e-4, atol=1e-5)
    key = "encoder.bottleneck.logits"  # the rate is all that moves them
    assert (expected["model"][key] - checkpoint["model"][key]).abs().max() > 0.01
    last = re.findall(r"Step 5/5; .*(nll.*bits/tok; lambda: [\d.]+)", log_of(log))
    assert len(last) == 1
    one_valid, two_valid = (
        [e for e in read_history(tmp_path / f"{name}.jsonl") if e["event"] == "valid"]
        for name in ("one", "two")
    )
    for key in ("nll", "rate", "relaxed_nll", "relaxed_rate", "accuracy"):
        assert two_valid[0][key] == pytest.approx(one_valid[0][key], rel=1e-4)


def two_processes(corpus: Corpus, path: Path, **changes: Any) -> Path:
    """Write the settings of a short training in two processes on the CPU."""
    return corpus.yaml(
        path,
        **{"dropout": [0.1], "batch_type": "tokens", "batch_size": 300, "bucket_size": 64},
        **{"report_every": 2, "valid_steps": 3, "transforms": ["tokendrop"]},
        **{"world_size": 2, "gpu_ranks": [0, 1], "gpu_backend": "gloo"},
        **{"master_port": free_port(), **changes},
    )


@pytest.mark.usefixtures("forked")
def test_two_processes_that_are_resumed_are_the_same_two(corpus: Corpus, tmp_path: Path) -> None:
    config = two_processes(corpus, tmp_path / "a.yaml", keep_checkpoint=1, accum_count=[2])
    for name, stops in {"whole": [13], "parts": [5, 13]}.items():
        base = tmp_path / name
        for step in stops:
            words = ("-save_model", base, "-log_json", f"{base}.jsonl", "-train_steps", step)
            train(config, *words, "-resume", "auto", "-master_port", free_port())
    assert_same_end(tmp_path / "whole", tmp_path / "parts", 13)
    first, other = load(tmp_path / "whole_step_13.safetensors")["onmt_lattice"]["processes"]
    assert not torch.equal(other["random_state"]["torch"], first["random_state"]["torch"])
    assert other["position"]["stride"] == 2


@pytest.mark.usefixtures("forked")
def test_two_processes_are_stopped_together_and_go_on(corpus: Corpus, tmp_path: Path) -> None:
    config = two_processes(corpus, tmp_path / "a.yaml", save_checkpoint_steps=2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = ("-config", config, "-save_model", parts, "-log_json", f"{parts}.jsonl")

    def stop() -> None:
        while not (tmp_path / "parts_step_2.safetensors").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert main(["train", *map(str, words)]) == 128 + signal.SIGTERM
    assert not children()
    step = max(checkpoints(parts)) + 3
    for base in (whole, parts):
        words = ("-save_model", base, "-log_json", f"{base}.jsonl", "-train_steps", step)
        train(config, *words, "-resume", "auto")
    assert_same_end(whole, parts, step)


@pytest.mark.usefixtures("forked")
def test_what_ends_one_of_two_processes_is_told_in_a_line(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    changes = {"optim": "sgd", "learning_rate": 1e30, "max_grad_norm": 0.0}
    config = two_processes(corpus, tmp_path / "a.yaml", **changes, save_model=str(tmp_path / "m"))
    assert "not finite" in mistake("train", "-config", config, "-log_file", tmp_path / "log")
    assert not children()


def test_a_port_that_is_taken(corpus: Corpus, tmp_path: Path, mistake: Mistake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = two_processes(
            corpus, tmp_path / "a.yaml", master_port=port, save_model=str(tmp_path / "m")
        )
        assert f"-master_port {port}: cannot be listened on" in mistake("train", "-config", config)
    assert not children()


def test_a_subword_model_travels_in_the_checkpoint(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    prefix = tmp_path / "pieces"
    corpus.subwords(prefix)
    # Once for each corpus and once for all.
    data = corpus.settings()["data"]
    each = {name: {**entry, "transforms": ["sentencepiece"]} for name, entry in data.items()}
    results = []
    for number, changes in enumerate(({"data": each}, {"transforms": ["sentencepiece"]})):
        base = str(tmp_path / f"{number}")
        changes |= {"src_subword_model": f"{prefix}.model", "src_vocab": f"{base}.vocab"}
        config = corpus.yaml(Path(f"{base}.yaml"), **changes, save_model=base, train_steps=30)
        assert main(["build_vocab", "-config", str(config)]) == 0
        train(config)
    # Resumed with the model at another place, the run still takes it along.
    moved = (tmp_path / "pieces.model").rename(tmp_path / "moved.model")
    more = ("-src_subword_model", moved, "-save_model", tmp_path / "1", "-train_steps", 31)
    train(config, "-train_from", tmp_path / "1_step_30.safetensors", *more)
    paths = (tmp_path / f"1_step_{step}.safetensors" for step in (30, 31))
    before, after = (load(path)["onmt_lattice"]["files"] for path in paths)
    assert_equal(before, after)
    assert set(after) == {"src_subword_model", "tgt_subword_model"}
    moved.unlink()
    said = mistake("train", "-config", config, "-train_from", tmp_path / "0_step_30.safetensors")
    assert "-src_subword_model" in said and "no such file" in said
    for number in range(2):
        words = [
            *("-model", tmp_path / f"{number}_step_30.safetensors", "-src", corpus.test),
            *("-output", tmp_path / f"{number}.json"),
        ]
        decoded = tmp_path / f"{number}.txt"
        assert main(["evaluate", *map(str, words), "-reconstruct", str(decoded)]) == 0
        results.append(Evaluation.read(tmp_path / f"{number}.json"))
        words[-1] = tmp_path / f"{number}.out"
        assert main(["translate", *map(str, words), "-beam_size", "1"]) == 0
        assert words[-1].read_text(encoding="utf-8") == decoded.read_text(encoding="utf-8")
        text = decoded.read_text(encoding="utf-8")
        assert "▁" not in text and "the" in text.split()
    first, second = results
    assert first.nll == second.nll and first.rate == second.rate
    # More tokens than words and ends of sentences: these are pieces.
    assert first.tokens > first.words + first.sentences
    assert first.nll.word * first.words == pytest.approx(first.nll.token * first.tokens)
    assert first.reconstruction is not None and first.reconstruction.bleu > 0
