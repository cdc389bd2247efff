#!/usr/bin/env python3
"""Kill trainings at random moments, and compare their results with those of one left alone."""

from __future__ import annotations

import importlib
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import Any

import scripting
import torch
import yaml

from onmt_lattice.cli.main import main as onmt_lattice
from onmt_lattice.experiments.corpus import english_grammar
from onmt_lattice.opennmt.training.history import read_history

DESCRIPTION = """\
Small trainings, each of other options, are started with -resume auto and killed (SIGKILL) again and
again, until one comes to its end. A third of the kills fall at any time, the others within two
milliseconds of the moment at which a save begins or a checkpoint is there. After each, every
checkpoint can be read; in the end all files, weights, the optimizer, random numbers, the position
in the data, and the history of reports are those of a run that nobody killed, bit for bit. A
difference ends with status 1. Every training is a fork of this process, which has all imported.
"""
SHARED = {
    **{"rnn_size": 8, "word_vec_size": 8, "layers": 1, "batch_size": 8, "bucket_size": 100},
    **{"train_steps": 40, "save_checkpoint_steps": 4, "valid_steps": 10, "report_every": 3},
    **{"keep_checkpoint": 2, "learning_rate": 0.01, "rate_weight_midpoint": 20, "seed": 3},
}
SETS: list[dict[str, Any]] = [
    {"bottleneck": "gaussian", "bottleneck_dim": 4, "dropout": [0.2], "average_decay": 0.1},
    {"bottleneck": "lattice", "lattice": "A2", "bottleneck_dim": 4, "accum_count": [2]},
    {"bottleneck": "ste_scalar", "rnn_type": "LSTM", "transforms": ["tokendrop"]},
    {"bottleneck": "ste_vector", "optim": "adafactor", "batch_type": "tokens", "batch_size": 80},
]
OF_A_RUN = frozenset({"seconds", "tokens_per_second"})
CLOSE = 0.002  # seconds
State = dict[str, Any]


def import_all() -> None:
    """Import the modules of a training, so that no fork has to."""
    importlib.import_module("onmt_lattice.opennmt.training.launch")
    importlib.import_module("torch._dynamo")  # by the optimizer


def make_text(folder: Path, rng: random.Random) -> None:
    """Write a small corpus with its vocabulary."""
    for name, count in (("train", 300), ("valid", 20)):
        lines = [" ".join(english_grammar().sample(rng)) for _ in range(count)]
        (folder / f"{name}.en").write_text("\n".join([*lines, ""]), encoding="utf-8")
    words = (folder / "train.en").read_text(encoding="utf-8").split()
    counts = "".join(f"{word}\t{count}\n" for word, count in Counter(words).most_common())
    (folder / "vocab.txt").write_text(counts, encoding="utf-8")


def write_config(folder: Path, options: dict[str, Any]) -> Path:
    """Write the settings of a training whose text is in ``folder``."""
    data = {
        "corpus": {"path_src": f"{folder}/train.en"},
        "valid": {"path_src": f"{folder}/valid.en"},
    }
    settings = {"data": data, "src_vocab": f"{folder}/vocab.txt", **SHARED, **options}
    path = folder / f"{options['bottleneck']}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def start(config: Path, run: Path) -> int:
    """Start a training in a fork of this process; return its id."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        log = os.open(run / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = (open(fd, "w", closefd=False) for fd in (1, 2))
        words = ["-config", config, "-save_model", run / "m", "-log_json", run / "history.jsonl"]
        status = onmt_lattice(["train", *map(str, words), "-resume", "auto"])
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(process: int, wait: bool = False) -> int | None:
    """Return the status of a process that has ended, below 0 if by a signal; else None."""
    pid, status = os.waitpid(process, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def moment(run: Path, rng: random.Random, usual: float) -> tuple[str, Callable[[], bool]]:
    """Return the moment to kill at, and the test whether it has come."""
    name = rng.choice(["any time", "save begun", "checkpoint there"])
    begun = time.monotonic()
    if name == "any time":
        delay = rng.uniform(0, usual)
        return name, lambda: time.monotonic() - begun > delay
    hidden = name == "save begun"
    part = ".part" if hidden else "_step_"

    def files() -> set[str]:
        return {n for n in os.listdir(run) if part in n and n.startswith(".") == hidden}

    before, left, delay = files(), rng.randrange(1, 5), rng.uniform(0, CLOSE)
    at: float | None = None

    def come() -> bool:
        nonlocal before, left, at
        if at is None:
            now = files()
            left, before = left - bool(now - before), now
            at = None if left else time.monotonic() + delay
        return at is not None and time.monotonic() >= at

    return name, come


def killed(config: Path, run: Path, rng: random.Random, usual: float) -> str | None:
    """Train until it is killed; return at which moment, or None if it came to its end."""
    name, come = moment(run, rng, usual)
    process = start(config, run)
    while not come():
        if (status := ended(process)) is not None:
            check(status == 0, f"{run}: ended with status {status}, see its log")
            return None
        time.sleep(0.0002)
    os.kill(process, signal.SIGKILL)
    return name if ended(process, wait=True) == -signal.SIGKILL else None


def check(holds: bool, message: str) -> None:
    """End the script with ``message`` unless ``holds``."""
    if not holds:
        raise SystemExit(message)


def state(run: Path) -> State:
    """Return the files of a run as plain values that depend on neither clock nor folder."""
    from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint
    from onmt_lattice.tensor_file import read_file

    left: State = {}
    logging.disable(logging.INFO)  # that one is loaded
    for path in sorted(run.glob("m*.safetensors")):
        load_checkpoint(path)  # which checks it
        tensors, values = read_file(path)
        del values["options"]
        hashes = {
            k: sha256(t.flatten().view(torch.uint8).numpy()).hexdigest() for k, t in tensors.items()
        }
        left[path.name] = {**hashes, **values}
    logging.disable(logging.NOTSET)
    history = read_history(run / "history.jsonl") if (run / "history.jsonl").exists() else []
    left["history"] = [{k: v for k, v in e.items() if k not in OF_A_RUN} for e in history]
    return left


def live(
    config: Path, run: Path, rng: random.Random, usual: float, expected: State, most: int
) -> Iterator[str]:
    """Yield the moments of at most ``most`` kills of one training, which then comes to its end."""
    for _ in range(most):
        name = killed(config, run, rng, usual)
        if name is None:
            break
        state(run)
        yield name
    else:
        check(ended(start(config, run), wait=True) == 0, f"{run}: did not end well, see its log")
    got = state(run)
    differ = sorted(k for k in got.keys() | expected.keys() if got.get(k) != expected.get(k))
    check(not differ, f"{run}: not as without kills: {', '.join(differ)}")


def main() -> None:
    """Kill, and print how often and where."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-kills", type=int, default=1000)
    parser.add_argument("-most", type=int, default=12, help="kills of one training")
    parser.add_argument("-seed", type=int, default=0)
    args = parser.parse_args()
    import_all()
    torch.set_num_threads(1)
    rng = random.Random(args.seed)
    begun = time.monotonic()
    kills: Counter[str] = Counter()
    lives = 0
    with tempfile.TemporaryDirectory(prefix="kill_training_") as path:
        folder = Path(path)
        make_text(folder, rng)
        alone = []
        for number, options in enumerate(SETS):
            config, run = write_config(folder, options), folder / f"alone{number}"
            run.mkdir()
            started = time.monotonic()
            check(ended(start(config, run), wait=True) == 0, (run / "log").read_text())
            alone.append((config, time.monotonic() - started, state(run)))
        for config, usual, expected in cycle(alone):
            if kills.total() >= args.kills:
                break
            run = folder / f"run{lives}"
            run.mkdir()
            most = min(args.most, args.kills - kills.total())
            kills.update(live(config, run, rng, usual, expected, most))
            lives += 1
    for name, count in sorted(kills.items()):
        print(f"{name:<20}{count:>6}")
    print(
        f"{kills.total()} kills of {lives} trainings in {time.monotonic() - begun:.0f} s: "
        f"all ended as without them"
    )


if __name__ == "__main__":
    scripting.run(main)
