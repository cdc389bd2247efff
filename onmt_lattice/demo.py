"""The demo: every bottleneck on the embedded corpus, from nothing to a figure."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation import Evaluation
from onmt_lattice.files import whole_file
from onmt_lattice.plotting import plot, trajectories
from onmt_lattice.runs import Run, train_all

SHOWN_SENTENCES = 3


@dataclass(frozen=True)
class DemoOptions:
    """What the demo was asked for; see ``onmt_lattice demo --help``."""

    configs: Path = Path("configs/demo")
    output: Path = Path("runs/demo")
    test: Path = Path("data/grammar/test.en")
    train_steps: int | None = None
    jobs: int = 2


def demo(options: DemoOptions) -> None:
    """Build the vocabulary, train, evaluate and plot; go on where an earlier demo stopped.

    Raises:
        UserError: if the configurations or the corpus are not there, or a run fails.
    """
    runs = prepare(options)
    print(f"{len(runs)} models, {options.jobs} at a time: {', '.join(run.name for run in runs)}")
    train_all(runs, options.jobs)
    evaluations = list(evaluate_all(runs, options))
    figure = options.output / "rate_nll.png"
    plot(evaluations, figure)
    table = summary(evaluations, shifted_bleu(runs, options))
    with whole_file(options.output / "table.txt") as part:
        part.write_text(table + "\n", encoding="utf-8")
    print(f"\n{table}\n\n{reconstructions(runs, options)}\n")
    print(f"figure        {figure}")
    print(f"table         {options.output / 'table.txt'}")
    print(f"evaluations   {options.output / 'results'}/*.json")
    print(f"models, logs  {options.output}/*/")


def prepare(options: DemoOptions) -> list[Run]:
    """Return the demo's runs, their folders claimed and the vocabulary built."""
    from onmt_lattice.opennmt.parsing import read_config
    from onmt_lattice.opennmt.vocabulary import build_vocab

    paths = sorted(p for p in options.configs.glob("*.yaml") if p.name != "common.yaml")
    if not paths or not options.test.is_file():
        missing = options.test if paths else options.configs / "*.yaml"
        raise UserError(f"{missing}: not found; run the demo in the top folder of the repository")
    vocabulary = options.output / "vocab.txt"
    runs = []
    for path in paths:
        settings = read_config(path)
        steps = options.train_steps or settings["train_steps"]
        words = ("-config", str(path), "-src_vocab", str(vocabulary))
        run = Run(path.stem, options.output / path.stem, words, steps)
        run.claim(settings)
        runs.append(run)
    if not vocabulary.exists():
        build_vocab(["-config", str(paths[0]), "-src_vocab", str(vocabulary)])
        logging.getLogger().setLevel(logging.WARNING)  # the progress bars say the rest
    return runs


def evaluate_all(runs: Sequence[Run], options: DemoOptions) -> Iterator[Evaluation]:
    """Yield the evaluation of every checkpoint, the last of each run with its reconstruction."""
    from tqdm import tqdm

    from onmt_lattice.opennmt.evaluate import EvaluateOptions, evaluate

    pairs = [(run, step, path) for run in runs for step, path in run.checkpoints().items()]
    for run, step, path in tqdm(pairs, desc="evaluating", unit="checkpoint"):
        result = options.output / "results" / f"{run.name}_step_{step}.json"
        text = _reconstruction(run, options) if step == run.steps else None
        if not result.exists() or (text is not None and not text.exists()):
            evaluate(
                EvaluateOptions(
                    str(path), str(options.test), reconstruct=None if text is None else str(text)
                )
            ).write(result)
        yield Evaluation.read(result)


def _reconstruction(run: Run, options: DemoOptions) -> Path:
    return options.output / "results" / f"{run.name}.txt"


def shifted_bleu(runs: Sequence[Run], options: DemoOptions) -> float:
    """Return the best BLEU of decoded lines against the sentence after the one they stand for.

    This is what a decoder without the sentence's representation would reach: it writes sentences
    of the corpus, but the wrong ones.
    """
    from sacrebleu.metrics import BLEU

    inputs = options.test.read_text(encoding="utf-8").splitlines()
    scores = []
    for run in runs:
        decoded = _reconstruction(run, options).read_text(encoding="utf-8").splitlines()
        bleu = BLEU(tokenize="none", force=True)
        scores.append(bleu.corpus_score(decoded, [inputs[1:] + inputs[:1]]).score)
    return max(scores)


def summary(evaluations: Sequence[Evaluation], shifted: float) -> str:
    """Return one line for the last checkpoint of each run, and what to hold it against."""
    rows = [
        f"{'bits a word':<18}{'lambda':>8}{'NLL':>8}{'rate':>8}{'total':>8}{'BLEU':>8}{'exact':>8}"
    ]
    for runs in trajectories(evaluations).values():
        for run in runs:
            rows.append(_summary_row(run[-1]))
    rows.append(
        f"\nAgainst the next sentence instead of their own, decoded lines reach BLEU {shifted:.1f}."
    )
    known = next((e.entropy for e in evaluations if e.entropy is not None), None)
    if known is not None:
        rows.append(
            f"H = {known.bits_word:.3f} bits a word: no total can be less, nor could the NLL be "
            f"without the representation."
        )
    return "\n".join(rows)


def _summary_row(e: Evaluation) -> str:
    quality = ""
    if e.reconstruction is not None:
        quality = f"{e.reconstruction.bleu:>8.1f}{100 * e.reconstruction.exact:>7.1f}%"
    return (
        f"{e.label:<18}{e.rate_weight:>8.3f}{e.nll.word:>8.3f}{e.rate.word:>8.3f}"
        f"{e.total.word:>8.3f}{quality}"
    )


def reconstructions(runs: Sequence[Run], options: DemoOptions) -> str:
    """Return the first sentences of the test text as each model decodes them."""

    def first(path: Path) -> list[str]:
        return path.read_text(encoding="utf-8").splitlines()[:SHOWN_SENTENCES]

    decoded: dict[str, Any] = {run.name: first(_reconstruction(run, options)) for run in runs}
    width = max(map(len, decoded))
    blocks = []
    for number, sentence in enumerate(first(options.test)):
        lines = [f"{'input':<{width}}  {sentence}"]
        lines += [f"{name:<{width}}  {texts[number]}" for name, texts in decoded.items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
