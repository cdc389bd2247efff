"""``onmt_lattice evaluate``."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from onmt_lattice.cli.arguments import Parser, check_numbers
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.corpus import english_grammar, ideal_bits
from onmt_lattice.files import STANDARD, check_folder, check_output, model_file
from onmt_lattice.text import FORM

if TYPE_CHECKING:
    from onmt_lattice.opennmt.commands.evaluate import KnownSource


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice evaluate",
        description="Measure rate and NLL of a checkpoint on a text, one sentence a line, "
        "segmented into words as its training text. All costs are in bits: per target token (a "
        "unit of the vocabulary, or the end of a sentence), per word of the text (pieces of words, "
        "marked by @@, ▁ or ￭, are joined before they are counted) and per sentence. The rate is "
        "the length of the codeword of the real, quantized representation.",
        epilog="example: onmt_lattice evaluate -src runs/demo/text/test.en -reconstruct pred.txt "
        "-model runs/demo/gaussian_0.2_seed1/model_step_2000.safetensors -output gaussian.json",
    )
    p.option("model", required=True, nargs="+", metavar="FILE", help="checkpoints written by train")
    p.option("src", required=True, metavar="FILE", help=f"text to evaluate on, {FORM}")
    p.option(
        "output",
        metavar="PATH",
        help="write the numbers as JSON, for plot: to this file, or for several checkpoints to "
        "one of the checkpoint's name in this folder; - is standard output",
    )
    p.option("seed", type=int, default=0, help="seed of the dither and noise (default: 0)")
    p.option("batch_size", type=int, default=64, help="sentences a batch (default: 64)")
    p.option("gpu", type=int, default=-1, help="CUDA device, or -1 for the CPU (default: -1)")
    p.option(
        "threads",
        type=int,
        metavar="N",
        help="threads of the CPU (default: OMP_NUM_THREADS, or one for each core)",
    )
    p.option(
        "reconstruct",
        metavar="PATH",
        help="decode every sentence, write the text to this file (or folder) and score it",
    )
    p.option(
        "scores",
        metavar="PATH",
        help="write NLL and rate of every sentence in bits, as tab-separated values, to this file "
        "(or folder)",
    )
    p.option(
        "coded",
        action="store_true",
        help="compress the text as well, and show the bits of the file beside the rate",
    )
    p.option("beam_size", type=int, default=1, help="1 is greedy (default: 1)")
    p.option(
        "max_length", type=int, default=100, help="longest line decoded, tokens (default: 100)"
    )
    return p


def run(argv: list[str]) -> None:
    """Evaluate with the options in ``argv``; print a table and write JSON."""
    args = parser().parse_args(argv)
    check_numbers(vars(args))
    models, output, texts = args.model, args.output, args.reconstruct
    for name in ("output", "reconstruct", "scores"):
        path = getattr(args, name)
        if path is not None:
            _check(path, f"-{name}", models)
            _check_names(models, f"-{name}")
    for model in models:
        model_file(model)

    import torch

    from onmt_lattice.opennmt.commands.evaluate import EvaluateOptions, evaluate
    from onmt_lattice.opennmt.data.sentences import Text

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    read = Text(args.src)
    own = ("model", "output", "reconstruct", "scores", "threads")
    shared = {k: v for k, v in vars(args).items() if k not in own}
    for model in models:
        several = len(models) > 1
        text = _place(texts, model, ".txt", several)
        scores = _place(args.scores, model, ".tsv", several)
        options = EvaluateOptions(model, reconstruct=text, scores=scores, progress=True, **shared)
        evaluation = evaluate(options, known_source, read)
        broken = evaluation.entropy is not None and not evaluation.entropy.holds
        result = None if broken else _place(output, model, ".json", several)
        if result is not None:
            evaluation.write(result)
        print(evaluation.table(), file=sys.stderr if result == STANDARD else sys.stdout)
        if result not in (None, STANDARD):
            print(f"written to {result}")
        if broken:
            raise UserError(
                f"{model}: rate + NLL is below the entropy of the source: the accounting is wrong, "
                "or the model was trained on this very text"
            )


@lru_cache(maxsize=1)  # one text, many checkpoints
def known_source(lines: tuple[str, ...]) -> KnownSource | None:
    """Return the embedded grammar as the source of ``lines`` if it generates them all."""
    from onmt_lattice.opennmt.commands.evaluate import KnownSource

    bits = ideal_bits(lines)
    if bits is None:
        return None
    grammar = english_grammar()
    return KnownSource(grammar.entropy_bits, grammar.expected_words, bits)


def _check(path: str, option: str, models: list[str]) -> None:
    """Refuse a ``path`` at which what there is to write of ``models`` cannot be written."""
    if len(models) > 1 and (os.path.isfile(path) or path == STANDARD):
        raise UserError(f"{option} {path}: expected a folder, for {len(models)} checkpoints")
    if len(models) > 1 or os.path.isdir(path):
        check_folder(path, option)
    else:
        check_output(path, option)


def _check_names(models: list[str], option: str) -> None:
    """Refuse ``models`` of which two would be written to one file."""
    held: dict[str, str] = {}
    for model in models:
        if (other := held.setdefault(Path(model).stem, model)) != model:
            raise UserError(
                f"{option}: {other} and {model} have one name, under which the results of both "
                f"would be written; evaluate them into two folders"
            )


def _place(path: str | None, model: str, suffix: str, several: bool) -> str | None:
    """Return the file to write for ``model``: ``path``, or in the folder ``path`` one like it."""
    if path is None or not (several or os.path.isdir(path)):
        return path
    return str(Path(path) / Path(model).with_suffix(suffix).name)
