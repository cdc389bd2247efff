"""The result of an evaluation as a table and as JSON, and the costs of each sentence."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.evaluation.codebook import Codebooks, Coded
from onmt_lattice.files import read_json, write_json, write_lines

FORMAT = 2
LAW_STANDARD_ERRORS = 4.0
WORD, TOKEN = "word", "token"  # units of costs in plots
NO_LATTICE = "none"  # of a quantized model: only the Gaussian's prior was fitted


@dataclass(frozen=True)
class Bits:
    """A cost in bits, by three measures.

    Attributes:
        token: per target token: a unit of the vocabulary or the end of a sentence.
        word: per word of the text, the pieces of each joined.
        sentence: per sentence.
    """

    token: float
    word: float
    sentence: float


@dataclass(frozen=True)
class Mean:
    """A mean over sentences with its standard error, None for a single sentence."""

    mean: float
    standard_error: float | None = None

    @classmethod
    def of(cls, values: list[float]) -> Mean:
        """Return the mean of ``values`` and its standard error."""
        n = len(values)
        mean = math.fsum(values) / n
        if n < 2:
            return cls(mean)
        variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
        return cls(mean, math.sqrt(variance / n))


@dataclass(frozen=True)
class Entropy:
    """The law rate + NLL ≥ H, on text of a grammar whose entropy is known.

    Attributes:
        bits_sentence: H, the entropy of a sentence.
        bits_word: H over the expected number of words per sentence.
        excess_bits_sentence: rate + NLL − log2 1/P(sentence), a mean over the sentences without
            unknown tokens; its expectation is a relative entropy, which is never negative.
        sentences: number of sentences without unknown tokens.
    """

    bits_sentence: float
    bits_word: float
    excess_bits_sentence: Mean
    sentences: int

    @property
    def holds(self) -> bool:
        """Whether rate + NLL is at least H, within four standard errors where there are any."""
        mean, error = self.excess_bits_sentence.mean, self.excess_bits_sentence.standard_error
        return error is None or mean >= -LAW_STANDARD_ERRORS * error


@dataclass(frozen=True)
class Reconstruction:
    """How well sentences are decoded from their quantized representation.

    Attributes:
        beam_size: 1 for greedy decoding.
        bleu: sacreBLEU against the input or its target, 0 to 100.
        chrf: chrF against the same, 0 to 100.
        exact: share of sentences decoded without any difference.
        signature: of sacreBLEU.
    """

    beam_size: int
    bleu: float
    chrf: float
    exact: float
    signature: str


@dataclass(frozen=True)
class Quantized:
    """The cost of a lattice in a Gaussian model, on the sentences that its code was fitted to.

    Attributes:
        model: path of the Gaussian model's checkpoint.
        lattice: its name, or ``none`` where only the Gaussian's prior was fitted.
        sentences, words: counts of the fitted text.
        dim: d.
        gaussian_bits: rate of the Gaussian with its fitted prior, in bits per sentence.
        excess_bits: of the lattice over that.
        theory_bits: of the lattice over the rate of a Gaussian source of the same variances.
        space_filling_loss: ½ log2(2πe G), bits per dimension.
    """

    model: str
    lattice: str
    sentences: int
    words: int
    dim: int
    gaussian_bits: float
    excess_bits: float
    theory_bits: float
    space_filling_loss: float

    def table(self) -> str:
        """Return the numbers as a table for a terminal."""
        words = self.words / self.sentences
        costs = {
            "Gaussian, its prior fitted": self.gaussian_bits,
            f"{self.lattice}, over that": self.excess_bits,
            "theory, for a Gaussian source": self.theory_bits,
        }
        rows = [f"{'bits per':<30}{'sentence':>10}{'word':>9}{'dimension':>11}"]
        rows += [
            f"{name:<30}{bits:>10.3f}{bits / words:>9.4f}{bits / self.dim:>11.4f}"
            for name, bits in costs.items()
        ]
        rows.append(f"{'space-filling loss':<30}{'':>19}{self.space_filling_loss:>11.4f}")
        return "\n".join(rows[:2] if self.lattice == NO_LATTICE else rows)


@dataclass(frozen=True)
class Source:
    """The source of a text that is the target of another one.

    Attributes:
        text: path of the source; ``words``, ``tokens``, ``unknown_tokens``: counts in it, of the
            evaluated pairs, without ends of sentences.
        rate: per token and word of the source.
    """

    text: str
    words: int
    tokens: int
    unknown_tokens: int
    rate: Bits


@dataclass(frozen=True)
class Evaluation:
    """Rate and NLL of one checkpoint on one text.

    Attributes:
        model: path of the checkpoint.
        run: name of its training run: the path without the step.
        step: training steps done; ``rate_weight``: λ at that step.
        bottleneck: its name; ``settings``: its options; ``label``: its name in plots.
        is_code: whether rate + NLL is the length of a code for the text.
        text: path of the text, the target; ``sentences``, ``empty_lines``, ``words``, ``tokens``,
            ``unknown_tokens``: counts in it. All costs are per token and word of this text.
        seed: of the dither and noise.
        nll, rate, total: of the real, quantized channel.
        relaxed_rate: of the training channel.
        rate_difference_bits_sentence: quantized − relaxed rate; by Theorem 1 its mean tends to 0.
        perplexity: 2^(NLL in bits per token); ``token_accuracy``: share of tokens guessed first.
        dim: d, the numbers between the linear maps of the bottleneck; None where not recorded.
        quantized: the costs of its lattice, for a model of ``quantize``.
        coded: the bits of the compressed text, or source, with ``-coded``.
        source: of the text; None for an autoencoder.
    """

    model: str
    run: str
    step: int
    rate_weight: float
    bottleneck: str
    settings: dict[str, Any]
    label: str
    is_code: bool
    text: str
    sentences: int
    empty_lines: int
    words: int
    tokens: int
    unknown_tokens: int
    seed: int
    nll: Bits
    rate: Bits
    total: Bits
    relaxed_rate: Bits
    rate_difference_bits_sentence: Mean
    perplexity: float
    token_accuracy: float
    dim: int | None = None
    quantized: Quantized | None = None
    codebooks: Codebooks | None = None
    entropy: Entropy | None = None
    reconstruction: Reconstruction | None = None
    coded: Coded | None = None
    source: Source | None = None

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write this evaluation as JSON, whole or not at all."""
        write_json(path, {"format": FORMAT, **dataclasses.asdict(self)})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Return the evaluation in the file ``path``."""
        values = read_json(path, "the output of evaluate")
        number = values.pop("format", None) if isinstance(values, dict) else None
        if number != FORMAT:
            raise UserError(f"{path}: not an evaluation of format {FORMAT}; run evaluate again")
        with error_prefix(f"{path}: not an evaluation of format {FORMAT}", TypeError):
            return typing.cast(Evaluation, revive(cls, values))

    def per_token(self) -> Evaluation:
        """Return this evaluation with tokens in place of words, to draw costs per token."""
        costs = {
            name: dataclasses.replace(bits, word=bits.token)
            for name in ("nll", "rate", "total", "relaxed_rate")
            for bits in [getattr(self, name)]
        }
        entropy = self.entropy and dataclasses.replace(
            self.entropy, bits_word=self.entropy.bits_sentence * self.sentences / self.tokens
        )
        return dataclasses.replace(self, words=self.tokens, entropy=entropy, **costs)

    def table(self) -> str:
        """Return the numbers as a table for a terminal."""
        counts = self.tokens, self.words, self.sentences
        coded = None if self.coded is None else Bits(*(self.coded.bits / n for n in counts))
        rows = [
            f"{self.label} at step {self.step}, lambda {self.rate_weight:.4f}: {self.model}",
            f"{self.text}: {self.sentences} sentences, {self.words} words, {self.tokens} tokens, "
            f"{self.unknown_tokens} unknown, {self.empty_lines} empty lines skipped; "
            f"seed {self.seed}",
            *([] if self.source is None else [_source_row(self.source)]),
            "",
            f"{'bits per':<22}{'token':>10}{'word':>10}{'sentence':>12}",
            _row("NLL", self.nll),
            _row("rate (quantized)", self.rate),
            _row("total", self.total),
            _row("rate (relaxed)", self.relaxed_rate),
            *([] if coded is None else [_row("coded, all of a file", coded)]),
            *([] if self.source is None else [_row("rate, in source units", self.source.rate)]),
            "token: a unit of the vocabulary or the end of a sentence",
            "word: a word of the text, its pieces (@@, ▁, ￭) joined",
            *([] if self.source is None else [_TARGET_NOTE]),
            "",
            "quantized - relaxed rate: "
            f"{_mean(self.rate_difference_bits_sentence)} bits per sentence",
            f"perplexity {self.perplexity:.3f}, token accuracy {100 * self.token_accuracy:.2f} %",
        ]
        return "\n".join([*rows, *self._optional_rows()])

    def _optional_rows(self) -> list[str]:
        rows = []
        if self.coded is not None:
            rows.append(f"coded: {self.coded.describe()}")
        if self.codebooks is not None:
            rows.append(f"codebooks: {self.codebooks.describe()}")
        if self.entropy is not None:
            e = self.entropy
            verdict = "holds" if e.holds else "BROKEN: the accounting is wrong"
            text = "source" if self.source is None else "target"
            rows.append(
                f"entropy of the {text}: {e.bits_sentence:.3f} bits per sentence, "
                f"{e.bits_word:.3f} per word; rate + NLL exceeds it by "
                f"{_mean(e.excess_bits_sentence)} bits per sentence: the law {verdict}"
            )
        if self.reconstruction is not None:
            r = self.reconstruction
            search = "greedy" if r.beam_size == 1 else f"beam of {r.beam_size}"
            rows.append(
                f"reconstruction ({search}): BLEU {r.bleu:.2f}, chrF {r.chrf:.2f}, "
                f"{100 * r.exact:.2f} % exact"
            )
        return rows


def perplexity(bits: float) -> float:
    """Return 2^``bits``; from 1,024 bits on, where a float overflows, infinity."""
    return 2.0**bits if bits < 1024 else math.inf


_TARGET_NOTE = (
    "NLL: of the target. rate: of its source's representation. Tokens and words are those of the\n"
    "target, except in the row in source units"
)


def _source_row(source: Source) -> str:
    return (
        f"its source {source.text}: {source.words} words, {source.tokens} tokens, "
        f"{source.unknown_tokens} unknown"
    )


def _row(name: str, bits: Bits) -> str:
    return f"{name:<22}{bits.token:>10.4f}{bits.word:>10.4f}{bits.sentence:>12.3f}"


def _mean(mean: Mean) -> str:
    error = "?" if mean.standard_error is None else f"{mean.standard_error:.4f}"
    return f"{mean.mean:.4f} ± {error}"


def revive(cls: Any, value: Any) -> Any:
    """Return the ``cls`` that ``dataclasses.asdict`` turned into ``value``.

    Raises:
        TypeError: if ``value`` or a part of it has another type.
    """
    if isinstance(cls, types.UnionType):  # X | None
        return None if value is None else revive(typing.get_args(cls)[0], value)
    if dataclasses.is_dataclass(cls) and isinstance(cls, type) and isinstance(value, dict):
        hints = typing.get_type_hints(cls)
        return cls(**{k: revive(hints.get(k, object), v) for k, v in value.items()})
    if typing.get_origin(cls) is list and isinstance(value, list):
        return [revive(typing.get_args(cls)[0], item) for item in value]
    cls = typing.get_origin(cls) or cls
    if not isinstance(value, (int, float) if cls is float else cls):
        raise TypeError(f"{value!r} is not a {cls.__name__}")
    return value


class SentenceCost(NamedTuple):
    """The cost of one sentence.

    Attributes:
        line: its number in the text, from 1.
        words: number of words, the pieces of each joined.
        nll, rate: bits.
    """

    line: int
    words: int
    nll: float
    rate: float


COSTS_HEAD = "\t".join(SentenceCost._fields)


def write_costs(path: str | os.PathLike[str], costs: Iterable[SentenceCost]) -> None:
    """Write ``costs`` as tab-separated values under a line of headings, whole or not at all."""
    lines = (f"{c.line}\t{c.words}\t{c.nll:.9g}\t{c.rate:.9g}" for c in costs)
    write_lines(path, [COSTS_HEAD, *lines])


def read_costs(path: Path) -> list[SentenceCost]:
    """Return the costs in the file ``path``."""
    try:
        head, *rows = list(csv.reader(path.open(encoding="utf-8", newline=""), delimiter="\t"))
        assert "\t".join(head) == COSTS_HEAD
        return [SentenceCost(int(i), int(n), float(nll), float(rate)) for i, n, nll, rate in rows]
    except (OSError, ValueError, AssertionError) as error:
        raise UserError(
            f"{path}: expected the costs of sentences, as evaluate -scores writes them; a sweep "
            f"evaluates again if the file is removed"
        ) from error
