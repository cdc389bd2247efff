#!/usr/bin/env python3
"""Time training steps of stock onmt_train and of this package's own bottlenecks, side by side.

The model is the paper's (2 layers, 250 units a direction, m = 500) or, compared with stock's, a
transformer of as many layers and units, whose 4 slots become 500 numbers; the text is random with
Zipf's frequencies. Each trains in a process of its own by its own command, stock OpenNMT-py without
this package; each in turn takes a step, or as many as -steps says, so that whatever else the
machine does falls on all alike. A step is all that training does for it, from the making of the
batch to the report, which ends every turn. On a GPU a turn should be of many steps, as the host
runs ahead of it.

Printed are medians over the rounds: ms a step, steps and target tokens a second, the hours that the
paper's 500,000 steps would take, and how many times as fast as stock's turn of the same round, with
the middle half of these ratios; then the decoder's NLL in the turn of step 20. Bottleneck "none"
computes what stock does, and its NLL has to be stock's.

example: python scripts/bench_training.py -vocabulary 5000 32000 -only none gaussian
         python scripts/bench_training.py -gpu 0 -steps 50 -rounds 20 -vocabulary 32000
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
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

NLL_STEP = 20
WARM_UP = 3  # turns
PAPER = 500_000  # steps
MOST_LINES = 100_000  # of the text, which is read again from there
STOCK = "stock onmt_train"
STOCK_TRANSFORMER = "stock transformer"
PARALLEL = "-encoder_type brnn -rnn_type GRU -global_attention none -input_feed 0 -share_vocab"
ADAM = "-dropout 0 -optim adam -learning_rate 1e-4 -start_decay_steps 100000 -decay_steps 50000"
HEADS = "-heads 4 -transformer_ff 1000"
CHOICES = {
    STOCK: f"{PARALLEL} {ADAM}",
    STOCK_TRANSFORMER: "-encoder_type transformer -decoder_type transformer -position_encoding "
    f"-param_init 0 -param_init_glorot -attention_dropout 0 -share_vocab {HEADS} {ADAM}",
    "4 slots": f"-encoder_type bottleneck_transformer -bottleneck_slots 4 {HEADS}",
    "none": "-bottleneck none -bottleneck_site all",
    "gaussian": "-bottleneck gaussian",
    **{
        f"lattice {name}": f"-bottleneck lattice -lattice {name}"
        for name in "Z A2 D4 E8 BW16 Leech conv16 conv64 conv256 z4conv256".split()
    },
    "ste_scalar M=2": "-bottleneck ste_scalar",
    "ste_vector M=4": "-bottleneck ste_vector",
    "none bf16": "-bottleneck none -bottleneck_site all -model_dtype bf16",
    "gaussian bf16": "-bottleneck gaussian -model_dtype bf16",
}


class Worker:
    """A process that trains, some steps at each turn."""

    def __init__(self, folder: Path, name: str, args: argparse.Namespace) -> None:
        corpus: dict[str, Any] = {"path_src": str(folder / "text")}
        if name.startswith("stock"):
            corpus["path_tgt"] = corpus["path_src"]
        dim = str(args.dim)
        self.log = folder / f"{name.replace(' ', '_')}.log"
        words = [
            *("-data", json.dumps({"corpus": corpus}), "-src_vocab", str(folder / "vocab")),
            *("-layers", "2", "-rnn_size", dim, "-word_vec_size", dim),
            *("-batch_size", str(args.batch), "-seed", "1", "-report_every", str(args.steps)),
            *("-train_steps", "1000000", "-save_checkpoint_steps", "1000000"),
            *("-save_model", str(self.log.with_suffix("")), *CHOICES[name].split()),
        ]
        if not name.startswith(("stock", "none")):
            words += ["-bottleneck_dim", str(args.bottleneck_dim or args.dim)]
        if args.gpu >= 0:
            words += ["-gpu_ranks", str(args.gpu)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "-worker", name, str(args.steps), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def turn(self) -> dict[str, float]:
        """Take some steps; return their seconds, target tokens, and NLL in nats a token."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.log.stem} has failed:\n{self.log.read_text()}")
        turn: dict[str, float] = json.loads(line)
        return turn


def work(name: str, steps: int, words: list[str]) -> None:
    """Train with the options ``words``, ``steps`` for each line that comes in; print each turn."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other output
    if name.startswith("stock"):
        from onmt.trainer import Trainer
    else:
        from onmt_lattice.cli.main import quiet_opennmt

        quiet_opennmt()
        from onmt_lattice.opennmt.training.trainer import RateTrainer as Trainer

    batches, report = Trainer._accum_batches, Trainer._maybe_report_training
    last_report: dict[str, float] = {}

    def paced(trainer: Any, iterator: Any) -> Iterator[Any]:
        stream = batches(trainer, iterator)
        while sys.stdin.readline():
            start = time.perf_counter()
            yield from islice(stream, steps)
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            seconds = time.perf_counter() - start
            print(json.dumps({"seconds": seconds, **last_report}), file=answers, flush=True)

    def reported(trainer: Any, step: int, last: int, rate: float, stats: Any) -> Any:
        if step % steps == 0:
            last_report.update(tokens=stats.n_words, nll=stats.loss / stats.n_words)
        return report(trainer, step, last, rate, stats)

    Trainer._accum_batches, Trainer._maybe_report_training = paced, reported
    if name.startswith("stock"):
        import onmt.bin.train

        sys.argv[1:] = words
        onmt.bin.train.main()
    else:
        from onmt_lattice.opennmt.training.launch import train

        train(words)


def device(gpu: int) -> str:
    """Return the name of the device."""
    return "the CPU" if gpu < 0 else torch.cuda.get_device_name(gpu)


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


def stock_of(name: str) -> str:
    """Return the stock model that ``name`` is compared with."""
    return STOCK_TRANSFORMER if name in (STOCK_TRANSFORMER, "4 slots") else STOCK


def table(taken: dict[str, list[dict[str, float]]], steps: int) -> Iterator[str]:
    """Yield the lines of the table of the turns ``taken``, of ``steps`` each."""
    yield (
        f"{'':<18}{'ms/step':>9}{'steps/s':>9}{'tokens/s':>10}{f'h/{PAPER}':>10}"
        f"{'x stock':>9}{'middle half':>16}{'NLL':>11}"
    )
    for name, turns in taken.items():
        counted = turns[WARM_UP:]
        ratios = sorted(
            other["seconds"] / turn["seconds"]
            for other, turn in zip(taken[stock_of(name)][WARM_UP:], counted, strict=True)
        )
        quarter = len(ratios) // 4
        spread = f"{ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}"
        seconds = statistics.median(turn["seconds"] for turn in counted) / steps
        yield (
            f"{name:<18}{1000 * seconds:>9.1f}{1 / seconds:>9.2f}"
            f"{statistics.median(turn['tokens'] / turn['seconds'] for turn in counted):>10.0f}"
            f"{PAPER * seconds / 3600:>10.2f}{statistics.median(ratios):>9.3f}{spread:>16}"
            f"{turns[(NLL_STEP - 1) // steps]['nll']:>11.6f}"
        )


def main() -> None:
    """Print a table for each vocabulary."""
    if sys.argv[1:2] == ["-worker"]:
        work(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-rounds", type=int, default=30, help="timed turns of each (default: 30)")
    parser.add_argument("-steps", type=int, default=1, help="steps of a turn (default: 1)")
    parser.add_argument("-gpu", type=int, default=-1, help="the GPU to train on (default: the CPU)")
    parser.add_argument("-batch", type=int, default=64, help="sentences a batch (default: 64)")
    parser.add_argument("-dim", type=int, default=500, help="m, units of the model (default: 500)")
    parser.add_argument(
        "-vocabulary", type=int, nargs="+", default=[5000], help="words (default: 5000)"
    )
    parser.add_argument("-bottleneck_dim", type=int, default=0, help="d (default: 0, for m)")
    parser.add_argument("-only", nargs="+", choices=list(CHOICES), help="of these, beside stock's")
    args = parser.parse_args()
    for vocabulary in args.vocabulary:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            turns = max(args.rounds + WARM_UP, -(-NLL_STEP // args.steps))
            write_text(folder, vocabulary, min((turns * args.steps + 40) * args.batch, MOST_LINES))
            asked = args.only or list(CHOICES)
            chosen = list(dict.fromkeys([*map(stock_of, asked), *asked]))
            workers = {c: Worker(folder, c, args) for c in chosen}
            taken: dict[str, list[dict[str, float]]] = {c: [] for c in chosen}
            try:
                for _ in range(turns):
                    for c, worker in workers.items():
                        taken[c].append(worker.turn())
            finally:
                for worker in workers.values():
                    worker.process.kill()
        print(
            f"{vocabulary} words, batches of {args.batch}, {args.rounds} rounds of {args.steps} "
            f"steps on {device(args.gpu)}"
        )
        print("\n".join(table(taken, args.steps)), flush=True)


if __name__ == "__main__":
    main()
