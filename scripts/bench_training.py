#!/usr/bin/env python3
"""Time a training step through every bottleneck, side by side with the Gaussian one.

The model is the paper's (2 layers, 250 units a direction, m = 500) with a vocabulary of 5,000, on
random sentences of 22 words. Steps of all bottlenecks alternate, so that whatever else the machine
does falls on all alike; what counts is the ratio to ``gaussian``, a median over the rounds.

example: python scripts/bench_training.py -rounds 20
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

from onmt_lattice.cli.main import quiet_opennmt

quiet_opennmt()

import torch
from onmt.inputters.fields import build_dynamic_fields
from onmt.model_builder import build_base_model
from onmt.utils.optimizers import Optimizer

from onmt_lattice.lattices import lattice_names
from onmt_lattice.opennmt import plugin
from onmt_lattice.opennmt.options import train_parser
from onmt_lattice.opennmt.parsing import parse
from onmt_lattice.opennmt.training import check_options

WORDS = 22
LATTICES = ("Z", "A2", "D4", "E8", "BW16", "Leech")
STATES = (16, 64, 128, 256)


class Step:
    """A training step of one model, on one random batch."""

    def __init__(self, folder: Path, words: list[str], args: argparse.Namespace) -> None:
        vocabulary, text = folder / "vocab.txt", folder / "text.txt"
        vocabulary.write_text("".join(f"w{i}\t1\n" for i in range(args.vocabulary)))
        text.write_text("w0 w1\n")
        opt = parse(
            train_parser,
            [
                *("-data", f"{{corpus: {{path_src: {text}}}}}", "-src_vocab", str(vocabulary)),
                *("-layers", "2", "-rnn_size", str(args.dim), "-word_vec_size", str(args.dim)),
                *("-seed", "1", *words),
            ],
        )
        plugin.install()
        check_options(opt)
        train_parser().validate_prepare_opts(opt)
        fields = build_dynamic_fields(opt, [], [])
        torch.manual_seed(1)
        self.model = build_base_model(opt, fields, gpu=False)
        self.model.encoder.bottleneck.reset_parameters()
        self.model.train()
        field = fields["tgt"].base_field
        self.loss = plugin.build_loss_compute(self.model, field, opt)
        self.optim = Optimizer.from_opt(self.model, opt)
        self.lengths = torch.full((args.batch,), WORDS)
        tgt = torch.randint(4, len(field.vocab), (WORDS + 2, args.batch, 1))
        self.batch = SimpleNamespace(tgt=tgt, src=tgt[1:-1])

    def seconds(self) -> float:
        """Run the step once and return how long it took."""
        start = time.perf_counter()
        self.optim.zero_grad()
        decoded, attns = self.model(self.batch.src, self.batch.tgt, self.lengths)
        self.loss(self.batch, decoded, attns, normalization=len(self.lengths), shard_size=32)
        self.optim.step()
        return time.perf_counter() - start


def main() -> None:
    """Print a table of step times and their ratio to the Gaussian's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-rounds", type=int, default=15, help="timed steps of each (default: 15)")
    parser.add_argument("-batch", type=int, default=64, help="sentences a batch (default: 64)")
    parser.add_argument("-dim", type=int, default=500, help="m, units of the model (default: 500)")
    parser.add_argument("-vocabulary", type=int, default=5000, help="words (default: 5000)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    choices = {"gaussian": ["-bottleneck", "gaussian"]}
    for name in LATTICES:
        if name in lattice_names():
            words = ["-bottleneck", "lattice", "-lattice", name]
            choices[f"lattice {name}"] = words
            choices[f"lattice {name}, d = m"] = [*words, "-bottleneck_dim", str(args.dim)]
    for states in STATES:
        words = ["-bottleneck", "lattice", "-lattice", f"conv{states}-{args.dim}"]
        choices[f"conv{states}, d = m"] = [*words, "-bottleneck_dim", str(args.dim)]
    choices["ste_scalar M=2"] = ["-bottleneck", "ste_scalar"]
    choices["ste_vector M=4"] = ["-bottleneck", "ste_vector"]
    with tempfile.TemporaryDirectory() as folder:
        steps = {label: Step(Path(folder), words, args) for label, words in choices.items()}
    times: dict[str, list[float]] = {label: [] for label in steps}
    for number in range(args.rounds + 2):
        for label, step in steps.items():
            seconds = step.seconds()
            if number >= 2:
                times[label].append(seconds)
    print(f"{'bottleneck':<22}{'ms a step':>10}{'ratio to gaussian':>20}")
    for label, taken in times.items():
        ratio = statistics.median(t / g for t, g in zip(taken, times["gaussian"], strict=True))
        print(f"{label:<22}{1000 * statistics.median(taken):>10.1f}{ratio:>20.3f}")


if __name__ == "__main__":
    main()
