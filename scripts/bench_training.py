#!/usr/bin/env python3
"""Time training steps of stock onmt_train and of every bottleneck, side by side.

The model is the paper's (2 layers, 250 units a direction, m = 500), the text is random with
Zipf's frequencies. Each trains in a process of its own by its own command, stock OpenNMT-py without
this package; one step of each in turn, so that whatever else the machine does falls on all alike.
A step is all that training does for it, from the making of the batch to the report.

Printed are medians over the rounds: ms a step, target tokens a second, and how many times as fast
as stock's step of the same round, with the middle half of these ratios; then the decoder's NLL at
step 20. Bottleneck "none" computes what stock does, and its NLL has to be stock's.

example: python scripts/bench_training.py -vocabulary 5000 32000 -only none gaussian
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

NLL_STEP = 20
STOCK = "stock onmt_train"
PARALLEL = "-encoder_type brnn -rnn_type GRU -global_attention none -input_feed 0 -share_vocab"
ADAM = "-dropout 0 -optim adam -learning_rate 1e-4 -start_decay_steps 100000 -decay_steps 50000"
CHOICES = {
    STOCK: f"{PARALLEL} {ADAM}",
    "none": "-bottleneck none -bottleneck_site all",
    "gaussian": "-bottleneck gaussian",
    **{
        f"lattice {name}": f"-bottleneck lattice -lattice {name}"
        for name in "Z A2 D4 E8 BW16 Leech conv16 conv64 conv256".split()
    },
    "ste_scalar M=2": "-bottleneck ste_scalar",
    "ste_vector M=4": "-bottleneck ste_vector",
}


class Worker:
    """A process that trains, a step whenever it is told to."""

    def __init__(self, folder: Path, name: str, args: argparse.Namespace) -> None:
        corpus: dict[str, Any] = {"path_src": str(folder / "text")}
        if name == STOCK:
            corpus["path_tgt"] = corpus["path_src"]
        dim = str(args.dim)
        self.log = folder / f"{name.replace(' ', '_')}.log"
        words = [
            *("-data", json.dumps({"corpus": corpus}), "-src_vocab", str(folder / "vocab")),
            *("-layers", "2", "-rnn_size", dim, "-word_vec_size", dim),
            *("-batch_size", str(args.batch), "-seed", "1", "-report_every", "1"),
            *("-train_steps", "1000000", "-save_checkpoint_steps", "1000000"),
            *("-save_model", str(self.log.with_suffix("")), *CHOICES[name].split()),
        ]
        if name not in (STOCK, "none"):
            words += ["-bottleneck_dim", str(args.bottleneck_dim)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "-worker", name, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def step(self) -> dict[str, float]:
        """Take a step; return its seconds, target tokens, and NLL in nats a token."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.log.stem} has failed:\n{self.log.read_text()}")
        step: dict[str, float] = json.loads(line)
        return step


def work(name: str, words: list[str]) -> None:
    """Train with the options ``words``, each step when a line comes in, and tell how it went."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    if name == STOCK:
        from onmt.trainer import Trainer
    else:
        from onmt_lattice.cli.main import quiet_opennmt

        quiet_opennmt()
        from onmt_lattice.opennmt.trainer import RateTrainer as Trainer

    batches, report = Trainer._accum_batches, Trainer._maybe_report_training
    said: dict[str, float] = {}

    def paced(trainer: Any, iterator: Any) -> Iterator[Any]:
        stream = batches(trainer, iterator)
        while sys.stdin.readline():
            start = time.perf_counter()
            yield next(stream)
            seconds = time.perf_counter() - start
            print(json.dumps({"seconds": seconds, **said}), file=answers, flush=True)

    def reported(trainer: Any, step: int, steps: int, rate: float, stats: Any) -> Any:
        said.update(tokens=stats.n_words, nll=stats.loss / stats.n_words)
        return report(trainer, step, steps, rate, stats)

    Trainer._accum_batches, Trainer._maybe_report_training = paced, reported
    if name == STOCK:
        import onmt.bin.train

        sys.argv[1:] = words
        onmt.bin.train.main()
    else:
        from onmt_lattice.opennmt.training import train

        train(words)


def write_text(folder: Path, vocabulary: int, lines: int) -> None:
    """Write ``lines`` random lines of some 22 words, and their vocabulary."""
    source = random.Random(1)
    words = [f"w{i}" for i in range(vocabulary)]
    weights = [1 / (i + 3) for i in range(vocabulary)]
    with (folder / "text").open("w") as text:
        for _ in range(lines):
            length = min(50, max(3, round(source.gauss(22, 8))))
            print(*source.choices(words, weights, k=length), file=text)
    (folder / "vocab").write_text("".join(f"{word}\t1\n" for word in words))


def table(taken: dict[str, list[dict[str, float]]], warm_up: int) -> Iterator[str]:
    """Yield the lines that are printed of the steps ``taken``."""
    yield f"{'':<18}{'ms/step':>9}{'tokens/s':>10}{'x stock':>9}{'middle half':>16}{'NLL':>11}"
    for name, steps in taken.items():
        counted = steps[warm_up:]
        ratios = sorted(
            other["seconds"] / step["seconds"]
            for other, step in zip(taken[STOCK][warm_up:], counted, strict=True)
        )
        quarter = len(ratios) // 4
        spread = f"{ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}"
        yield (
            f"{name:<18}{1000 * statistics.median(s['seconds'] for s in counted):>9.1f}"
            f"{statistics.median(s['tokens'] / s['seconds'] for s in counted):>10.0f}"
            f"{statistics.median(ratios):>9.3f}{spread:>16}{steps[NLL_STEP - 1]['nll']:>11.6f}"
        )


def main() -> None:
    """Print a table for each vocabulary."""
    if sys.argv[1:2] == ["-worker"]:
        work(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-rounds", type=int, default=30, help="timed steps of each (default: 30)")
    parser.add_argument("-batch", type=int, default=64, help="sentences a batch (default: 64)")
    parser.add_argument("-dim", type=int, default=500, help="m, units of the model (default: 500)")
    parser.add_argument(
        "-vocabulary", type=int, nargs="+", default=[5000], help="words (default: 5000)"
    )
    parser.add_argument("-bottleneck_dim", type=int, default=0, help="d (default: 0, for m)")
    parser.add_argument("-only", nargs="+", choices=list(CHOICES), help="of these, beside stock's")
    args = parser.parse_args()
    warm_up = 3
    for vocabulary in args.vocabulary:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            steps = max(args.rounds + warm_up, NLL_STEP)
            write_text(folder, vocabulary, (steps + 40) * args.batch)
            chosen = [STOCK, *(c for c in args.only or CHOICES if c != STOCK)]
            workers = {c: Worker(folder, c, args) for c in chosen}
            taken: dict[str, list[dict[str, float]]] = {c: [] for c in chosen}
            try:
                for _ in range(steps):
                    for c, worker in workers.items():
                        taken[c].append(worker.step())
            finally:
                for worker in workers.values():
                    worker.process.kill()
        print(f"{vocabulary} words, batches of {args.batch}, {args.rounds} rounds")
        print("\n".join(table(taken, warm_up)), flush=True)


if __name__ == "__main__":
    main()
