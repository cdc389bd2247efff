#!/usr/bin/env python3
"""Compare the lattices with the Gaussian on text, at fixed lambda and equal steps.

Trains configs/captions on a folder of train.en, valid.en and test.en: Z, E8 and Leech, with the
paper's plain form of the bottleneck (d = m, one prior scale a coordinate, initial gain 1) and with
this package's defaults (d = m/4, one prior scale a point, initial gain 3), each beside the Gaussian
of the same gain at three values of lambda. Prints, in bits a token, NLL and rate of each run, and
how much more the lattice costs than the Gaussian at the same NLL, interpolated along the
Gaussian's curve of the same seed; in bits a sentence and working dimension d that is set beside the
space-filling loss of the lattice. Can be interrupted, and goes on when run again.

example: python scripts/compare_lattices.py -text multi30k -output runs/captions
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path

from onmt_lattice.cli.main import quiet_opennmt

quiet_opennmt()

from onmt_lattice.evaluation import Evaluation
from onmt_lattice.files import whole_file
from onmt_lattice.lattices import make_lattice
from onmt_lattice.opennmt.evaluate import EvaluateOptions, evaluate
from onmt_lattice.opennmt.parsing import read_config
from onmt_lattice.opennmt.vocabulary import build_vocab
from onmt_lattice.runs import Run, train_all

CONFIG = Path("configs/captions/common.yaml")
LATTICES = ("Z", "E8", "Leech")
DIM = {"plain": 96, "default": 24}
FORMS = {
    "plain": ("-encoder_gain", "1", "-prior_scale", "coordinate", "-bottleneck_dim", "96"),
    "default": (),
}
GAUSSIAN = {"plain": ("-encoder_gain", "1"), "default": ()}


def grid(args: argparse.Namespace) -> list[tuple[str, tuple[str, ...]]]:
    """Return the name and the options of every run."""
    runs = []
    for seed in args.seeds:
        for form in FORMS:
            for weight in args.rate_weights:
                words = ("-bottleneck", "gaussian", "-rate_weight", str(weight), *GAUSSIAN[form])
                runs.append((f"{form}_gaussian_{weight}_seed{seed}", (*words, "-seed", str(seed))))
            for lattice in LATTICES:
                words = ("-bottleneck", "lattice", "-lattice", lattice, *FORMS[form])
                words += ("-rate_weight", str(args.rate_weight), "-seed", str(seed))
                runs.append((f"{form}_{lattice}_seed{seed}", words))
    return runs


def train(args: argparse.Namespace) -> list[Run]:
    """Build the vocabulary, bring every run to its end, and return the runs."""
    data = {
        "corpus": {"path_src": str(args.text / "train.en")},
        "valid": {"path_src": str(args.text / "valid.en")},
    }
    vocabulary = args.output / "vocab.txt"
    settings = read_config(CONFIG)
    shared = ("-config", str(CONFIG), "-data", json.dumps(data), "-src_vocab", str(vocabulary))
    if not vocabulary.exists():
        build_vocab(list(shared))
    runs = []
    for name, words in grid(args):
        run = Run(name, args.output / name, (*shared, *words), settings["train_steps"])
        run.claim({**settings, "words": list(run.words)})
        runs.append(run)
    train_all(runs, args.jobs)
    return runs


def evaluated(run: Run, args: argparse.Namespace) -> Evaluation:
    """Return the evaluation of a run's last checkpoint on test.en, made once."""
    result = run.folder / "test.json"
    if not result.exists():
        model = str(run.checkpoints()[run.steps])
        evaluate(EvaluateOptions(model, str(args.text / "test.en"))).write(result)
    return Evaluation.read(result)


def rate_at(nll: float, curve: list[Evaluation]) -> float:
    """Return the rate of ``curve`` at ``nll`` (bits a token).

    Its logarithm is taken as linear between and beyond points: the curve is convex, and a chord
    of the rate itself would lie above it, in the lattices' favour.
    """
    points = sorted((e.nll.token, math.log(e.rate.token)) for e in curve)
    after = next((i for i, p in enumerate(points) if p[0] >= nll), len(points) - 1)
    (x0, y0), (x1, y1) = points[max(after, 1) - 1], points[max(after, 1)]
    return math.exp(y0 + (y1 - y0) * (nll - x0) / (x1 - x0))


def report(results: dict[str, Evaluation], args: argparse.Namespace) -> str:
    """Return the table of all runs and of the lattices' cost over the Gaussian."""
    rows = [f"{'run':<36}{'NLL':>8}{'rate':>8}   bits a token"]
    rows += [f"{n:<36}{e.nll.token:>8.3f}{e.rate.token:>8.3f}" for n, e in results.items()]
    rows += ["", "over the Gaussian at equal NLL; mean over seeds and their values"]
    rows += [f"{'':<16}{'bits a token':>13}{'bits a dim':>12}{'1/2 log2(2 pi e G)':>20}"]
    for form in FORMS:
        for lattice in LATTICES:
            over, dims = [], []
            for seed in args.seeds:
                e = results[f"{form}_{lattice}_seed{seed}"]
                curve = [
                    results[f"{form}_gaussian_{weight}_seed{seed}"] for weight in args.rate_weights
                ]
                over.append(e.rate.token - rate_at(e.nll.token, curve))
                dims.append(over[-1] * e.tokens / e.sentences / DIM[form])
            loss = 0.5 * math.log2(2 * math.pi * math.e * make_lattice(lattice).nsm)
            each = ", ".join(f"{value:.3f}" for value in over)
            rows.append(
                f"{form + ' ' + lattice:<16}{statistics.mean(over):>13.3f}"
                f"{statistics.mean(dims):>12.3f}{loss:>20.3f}   ({each})"
            )
    return "\n".join(rows)


def main() -> None:
    """Train, evaluate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-text", type=Path, required=True, help="folder of train, valid, test.en")
    parser.add_argument("-output", type=Path, default=Path("runs/captions"), help="folder")
    parser.add_argument("-jobs", type=int, default=2, help="runs at a time (default: 2)")
    parser.add_argument("-seeds", type=int, nargs="+", default=[1, 2], help="(default: 1 2)")
    parser.add_argument("-rate_weight", type=float, default=0.25, help="lambda of the lattices")
    parser.add_argument(
        "-rate_weights",
        type=float,
        nargs="+",
        default=[0.15, 0.25, 0.4],
        help="lambdas of the Gaussian's curve",
    )
    args = parser.parse_args()
    runs = train(args)
    text = report({run.name: evaluated(run, args) for run in runs}, args)
    with whole_file(args.output / "table.txt") as part:
        part.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
