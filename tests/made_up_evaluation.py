"""Evaluations of numbers that are given, in bits per word."""

from __future__ import annotations

from typing import Any

from onmt_lattice.evaluation.result import Bits, Evaluation, Mean


def made_up_evaluation(
    label: str, step: int, nll: float, rate: float, sentences: int, words: int, **others: Any
) -> Evaluation:
    """Return an evaluation of ``nll`` and ``rate``; ``others`` go before what is said here."""

    def bits(word: float) -> Bits:
        return Bits(word * words / (words + sentences), word, word * words / sentences)

    values: dict[str, Any] = {
        "model": f"model_step_{step}.safetensors",
        "run": "model",
        "step": step,
        "rate_weight": 0.5,
        "bottleneck": label.split()[0],
        "settings": {},
        "label": label,
        "is_code": label != "none",
        "dim": 24,
        "text": "text/test.en",
        "sentences": sentences,
        "empty_lines": 0,
        "words": words,
        "tokens": words + sentences,
        "unknown_tokens": 0,
        "seed": 0,
        "nll": bits(nll),
        "rate": bits(rate),
        "total": bits(nll + rate),
        "relaxed_rate": bits(rate),
        "rate_difference_bits_sentence": Mean(0.0, 0.1),
        "perplexity": 4.0,
        "token_accuracy": 0.5,
    }
    return Evaluation(**{**values, **others})
