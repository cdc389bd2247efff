#!/usr/bin/env python3
"""Time evaluation beside stock onmt_translate, whole commands in turn, on one model and text.

The model is the paper's (2 layers, 250 units a direction, m = 500), trained for some steps on
random text by this package, with "none" for a bottleneck: the same weights are then those of a
stock model of OpenNMT-py, which is written beside it. Stock's NLL is that of "onmt_translate -tgt",
once with the shortest search that it allows; ours comes with the rates of both channels. Both are
shown in nats per sentence, to be the same, and so are the lines that a greedy search decodes.

example: python scripts/bench_evaluation.py -vocabulary 32000 -rounds 3
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import scripting
from bench_training import write_text

SHORTEST = ("-beam_size", "1", "-max_length", "1")
GREEDY = ("-beam_size", "1", "-max_length", "50")


def train(folder: Path, args: argparse.Namespace) -> None:
    """Train a model, and write the same weights as a model of stock OpenNMT-py."""
    dim = str(args.dim)
    data = f'{{"corpus": {{"path_src": "{folder}/text"}}}}'
    words = (
        *("-data", data, "-src_vocab", folder / "vocab"),
        *("-bottleneck", "none", "-bottleneck_site", "all", "-layers", "2", "-rnn_size", dim),
        *("-word_vec_size", dim, "-batch_size", "64", "-learning_rate", "0.001", "-seed", "1"),
        *("-train_steps", str(args.steps), "-save_checkpoint_steps", str(args.steps)),
        *("-save_model", folder / "model"),
    )
    run("onmt_lattice", "train", *words)
    import torch

    from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint

    checkpoint = load_checkpoint(folder / f"model_step_{args.steps}.safetensors")
    checkpoint["opt"].encoder_type, checkpoint["opt"].brnn = "brnn", True
    stock = {name: checkpoint[name] for name in ("model", "generator", "vocab", "opt")}
    torch.save({**stock, "optim": None}, folder / "stock.pt")


def run(program: str, *words: object) -> tuple[float, str]:
    """Return the seconds of a command, and its output."""
    command = [str(Path(sys.executable).parent / program), *map(str, words)]
    # OpenNMT-py 2.3 cannot load its own checkpoints under torch 2.6 or later without this.
    env = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    start = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} has failed:\n{done.stdout}{done.stderr}")
    return seconds, done.stdout + done.stderr


def line(label: str, base: list[float], seconds: list[float]) -> str:
    """Return the line of a command: its median time, and how many times as fast it is."""
    ratio = statistics.median(a / b for a, b in zip(base, seconds, strict=True))
    return f"{label:<28}{statistics.median(seconds):>8.1f} s{ratio:>8.2f} x"


def main() -> None:
    """Print how long each takes, and the ratios."""
    parser = scripting.parser(__doc__ or "")
    parser.add_argument("-rounds", type=int, default=3, help="of each command (default: 3)")
    parser.add_argument("-vocabulary", type=int, default=32000, help="words (default: 32000)")
    parser.add_argument("-sentences", type=int, default=2737, help="(default: 2737)")
    parser.add_argument("-dim", type=int, default=500, help="m, units of the model (default: 500)")
    parser.add_argument("-steps", type=int, default=20, help="of training before (default: 20)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_text(folder, args.vocabulary, args.sentences)
        train(folder, args)
        text, stock = folder / "text", folder / "stock.pt"
        ours = folder / f"model_step_{args.steps}.safetensors"
        translated = ("-model", stock, "-src", text, "-output", folder / "stock.txt")
        evaluated = ("evaluate", "-model", ours, "-src", text)
        commands: dict[str, tuple[object, ...]] = {
            "onmt_translate -tgt": ("onmt_translate", *translated, "-tgt", text),
            "  with the shortest search": ("onmt_translate", *translated, "-tgt", text, *SHORTEST),
            "evaluate": ("onmt_lattice", *evaluated, "-output", folder / "ours.json"),
            "onmt_translate, greedy": ("onmt_translate", *translated, *GREEDY),
            "translate": (
                *("onmt_lattice", "translate", "-model", ours, "-src", text, *GREEDY),
                *("-output", folder / "translated.txt"),
            ),
            "evaluate -reconstruct": (
                *("onmt_lattice", *evaluated, "-reconstruct", folder / "ours.txt", *GREEDY[2:]),
            ),
        }
        taken: dict[str, list[float]] = {label: [] for label in commands}
        printed = {}
        for _ in range(args.rounds):
            for label, command in commands.items():
                seconds, printed[label] = run(*map(str, command))
                taken[label].append(seconds)
        names = ("stock.txt", "ours.txt", "translated.txt")
        same = len({(folder / name).read_bytes() for name in names}) == 1
        nll = float(re.findall(r"\"sentence\": ([\d.]+)", (folder / "ours.json").read_text())[0])
    gold = re.findall(r"GOLD SCORE: (-?[\d.]+)", printed["onmt_translate -tgt"])
    print(f"{args.sentences} sentences, {args.vocabulary} words, {args.rounds} rounds")
    base = "onmt_translate -tgt"
    for label, seconds in taken.items():
        if label == "onmt_translate, greedy":
            base = label
        print(line(label, taken[base], seconds))
    both, alone = taken["evaluate -reconstruct"], taken["evaluate"]
    added = [a - b for a, b in zip(both, alone, strict=True)]
    print(line("  of that -reconstruct", taken[base], added))
    print(f"NLL: stock {gold} and ours {nll * 0.6931471805599453:.6f}; lines alike: {same}")


if __name__ == "__main__":
    scripting.run(main)
