"""The demo: a sweep over the embedded corpus, and a summary of its results."""

from __future__ import annotations

from pathlib import Path

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import NO_LATTICE, Evaluation
from onmt_lattice.experiments.corpus import write_corpus
from onmt_lattice.experiments.report.page import REPORT
from onmt_lattice.experiments.report.pairing import paired
from onmt_lattice.experiments.report.results import FAILED, Results
from onmt_lattice.experiments.sweep.options import SweepOptions
from onmt_lattice.experiments.sweep.sweep import sweep

CONFIG = Path(__file__).parent / "sweep.yaml"
TEXT = "text"
SHOWN_SENTENCES = 3


def demo(config: Path, output: Path, jobs: int | None = None) -> Results:
    """Train, quantize, evaluate and draw; resume a demo that stopped or failed.

    The corpus is written to the folder ``text`` of the output, so that any folder will do.
    """
    if not config.is_file():
        raise UserError(f"-config {config}: no such file; leave it out for the demo's own")
    text = output / TEXT
    write_corpus(text)
    results = sweep(
        SweepOptions(config=config, output=output, text=text, jobs=jobs, retry_failed=True)
    )
    failed = [run for run in results.runs if run.record.status == FAILED]
    if failed:
        raise UserError(f"run {failed[0].name} failed: {failed[0].record.error}")
    parts = (summary(results, output), prices(results), reconstructions(results))
    print("\n" + "\n\n".join(filter(None, parts)) + "\n")
    print(f"figure        {output}/figure3.png")
    print(f"report        {output / REPORT}")
    print(f"models, logs  {output}/*/")
    return results


def summary(results: Results, folder: Path) -> str:
    """Return one line for the last checkpoint of each run, and what to compare it with."""
    last = [(run.curve, run.points[-1].evaluation) for run in results.runs]
    by_weight: dict[float, list[str]] = {}
    for name, e in last:
        by_weight.setdefault(round(e.rate_weight, 3), []).append(_row(name, e))
    rows = [
        f"{'bits per word':<20}"
        + "".join(f"{name:>8}" for name in ("lambda", "NLL", "rate", "total", "BLEU", "exact")),
        "\n\n".join("\n".join(by_weight[weight]) for weight in sorted(by_weight)),
        f"\nAgainst the next sentence instead of their own, decoded lines reach BLEU "
        f"{shifted_bleu(results, folder):.1f}.",
    ]
    known = next((e.entropy for _, e in last if e.entropy is not None), None)
    if known is not None:
        rows.append(
            f"H = {known.bits_word:.3f} bits per word: over many texts no total can be less on "
            f"average, nor could the NLL be without the representation."
        )
    return "\n".join(rows)


def prices(results: Results) -> str:
    """Return the cost of each lattice over the Gaussian it was put in, beside theory's."""
    rows = paired(results)
    points = {row.point: row.point.replace("rate_weight", "lambda") for row in rows}
    head = f"{'bits per dimension over the Gaussian':<36}"
    lines = [
        head + "".join(f"{name:>26}" for name in points.values()),
        f"{'':<36}" + f"{'measured':>17}{'theory':>9}" * len(points),
    ]
    for curve in dict.fromkeys(row.curve for row in rows):
        cells = "".join(
            f"{row.over_dimension.text('.3f'):>17}{row.theory:>9.3f}"
            for row in rows
            if row.curve == curve and row.over_dimension and row.theory is not None
        )
        lines.append(f"{curve:<36}{cells}")
    return "\n".join(lines) if rows else ""


def _row(name: str, e: Evaluation) -> str:
    quality = ""
    if e.reconstruction is not None:
        quality = f"{e.reconstruction.bleu:>8.1f}{100 * e.reconstruction.exact:>7.1f}%"
    return (
        f"{name:<20}{e.rate_weight:>8.3f}{e.nll.word:>8.3f}{e.rate.word:>8.3f}"
        f"{e.total.word:>8.3f}{quality}"
    )


def shifted_bleu(results: Results, folder: Path) -> float:
    """Return the best BLEU of decoded lines against the sentence after their own.

    This is what a decoder without the sentence's representation would reach: it writes sentences
    of the corpus, but the wrong ones.
    """
    from sacrebleu.metrics import BLEU

    inputs = Path(results.text).read_text(encoding="utf-8").splitlines()
    scores = []
    for run in results.runs:
        path = folder / run.name / f"model_step_{run.points[-1].step}.txt"
        decoded = path.read_text(encoding="utf-8").splitlines()
        bleu = BLEU(tokenize="none", force=True)
        scores.append(bleu.corpus_score(decoded, [inputs[1:] + inputs[:1]]).score)
    return max(scores)


def reconstructions(results: Results) -> str:
    """Return the first sentences of the test text as the first model of each curve decodes them.

    A Gaussian whose prior was refitted decodes as before.
    """
    decoded: dict[str, list[str]] = {}
    for run in results.runs:
        if run.quantizing is None or run.quantizing.lattice != NO_LATTICE:
            decoded.setdefault(run.curve, run.points[-1].decoded or [])
    width = max(map(len, decoded))
    blocks = []
    for number, sentence in enumerate(results.inputs[:SHOWN_SENTENCES]):
        lines = [f"{'input':<{width}}  {sentence}"]
        lines += [f"{name:<{width}}  {texts[number]}" for name, texts in decoded.items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
