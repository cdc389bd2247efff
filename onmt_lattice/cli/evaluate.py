"""``onmt_lattice evaluate``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from onmt_lattice.config import parse
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.corpus import english_grammar, ideal_bits
from onmt_lattice.files import CHECKPOINT, STANDARD, check_folder, check_output, model_file
from onmt_lattice.opennmt.options.commands import EvaluateOptions

if TYPE_CHECKING:
    from onmt_lattice.opennmt.commands.evaluate import KnownSource


def run(argv: list[str]) -> None:
    """Evaluate with the options in ``argv``; print a table and write JSON."""
    options = parse("evaluate", EvaluateOptions, argv)
    models, output = options.model, options.output
    for name in ("output", "reconstruct", "scores"):
        path = getattr(options, name)
        if path is not None:
            _check_writable(path, f"-{name}", models)
            _check_names(models, f"-{name}")
    for model in models:
        model_file(model)

    import torch

    from onmt_lattice.opennmt.commands.evaluate import evaluate
    from onmt_lattice.opennmt.data.sentences import EvaluationText

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    text = EvaluationText(options.src, options.tgt)
    for model in models:
        several = len(models) > 1
        model_options = replace(
            options,
            reconstruct=_output_path(options.reconstruct, model, ".txt", several),
            scores=_output_path(options.scores, model, ".tsv", several),
        )
        evaluation = evaluate(model, model_options, known_source, text)
        broken = evaluation.entropy is not None and not evaluation.entropy.holds
        result = None if broken else _output_path(output, model, ".json", several)
        if result is not None:
            evaluation.write(result)
        written = result, model_options.reconstruct, model_options.scores
        print(evaluation.table(), file=sys.stderr if STANDARD in written else sys.stdout)
        if result not in (None, STANDARD):
            print(f"written to {result}")
        if broken:
            raise UserError(
                f"{model}: rate + NLL is below the entropy of the source: the accounting is wrong, "
                "or the model was trained on this text"
            )


@lru_cache(maxsize=1)  # one text, many checkpoints
def known_source(lines: tuple[str, ...]) -> KnownSource | None:
    """Return the embedded grammar as the source of ``lines``, or None if it is not."""
    from onmt_lattice.opennmt.commands.evaluate import KnownSource

    bits = ideal_bits(lines)
    if bits is None:
        return None
    grammar = english_grammar()
    return KnownSource(grammar.entropy_bits, grammar.expected_words, bits)


def _check_writable(path: str, option: str, models: list[str]) -> None:
    """Refuse a ``path`` to which the results of ``models`` cannot be written."""
    if len(models) > 1 and (os.path.isfile(path) or path == STANDARD):
        raise UserError(f"{option} {path}: expected a folder, for {len(models)} checkpoints")
    if len(models) > 1 or os.path.isdir(path):
        check_folder(path, option)
    else:
        check_output(path, option)


def _check_names(models: list[str], option: str) -> None:
    """Refuse two ``models`` whose results would be written to one file."""
    first: dict[str, str] = {}
    for model in models:
        if (same := first.setdefault(_name(model), model)) != model:
            raise UserError(
                f"{option}: {same} and {model} have one name, and their results would be written "
                f"to one file; evaluate them into two folders"
            )


def _output_path(path: str | None, model: str, suffix: str, several: bool) -> str | None:
    """Return the file to write for ``model``: ``path``, or one in it named like the model."""
    if path is None or not (several or os.path.isdir(path)):
        return path
    return str(Path(path) / f"{_name(model)}{suffix}")


def _name(model: str) -> str:
    """Return the name of a checkpoint, or of a folder of export, which may have dots."""
    return Path(model).name.removesuffix(CHECKPOINT)
