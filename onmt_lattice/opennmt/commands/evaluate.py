"""Evaluating a checkpoint on a text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sacrebleu.metrics import BLEU, CHRF

from onmt_lattice.bitstream import FileReader
from onmt_lattice.bottlenecks import ResidualBottleneck
from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.evaluation.codebook import Codebooks, Coded, codebook_usage
from onmt_lattice.evaluation.result import (
    Bits,
    Entropy,
    Evaluation,
    Mean,
    Reconstruction,
    SentenceCost,
    Source,
    perplexity,
    write_costs,
)
from onmt_lattice.files import CHECKPOINT, write_lines
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder, load_autoencoder
from onmt_lattice.opennmt.data.sentences import (
    EvaluationText,
    Sentence,
    check_targets,
    token_index,
    trained_transforms,
)
from onmt_lattice.opennmt.data.vocabulary import check_coverage
from onmt_lattice.opennmt.inference.scoring import Scorer, SentenceScores
from onmt_lattice.opennmt.inference.search import reconstruct, search_options
from onmt_lattice.opennmt.inference.text_codec import TextCodec
from onmt_lattice.opennmt.options.commands import EvaluateOptions
from onmt_lattice.opennmt.options.configuration import bottleneck_label, bottleneck_settings
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.text import joined

BITS_PER_NAT = 1 / math.log(2)


class KnownSource(NamedTuple):
    """A source of known entropy, from which a text is drawn.

    Attributes:
        entropy_bits: H, the entropy of a sentence.
        expected_words: words per sentence.
        ideal_bits: log2 1/P of each sentence of the text.
    """

    entropy_bits: float
    expected_words: float
    ideal_bits: list[float]


def evaluate(
    model: str,
    options: EvaluateOptions,
    source_of: Callable[[tuple[str, ...]], KnownSource | None] = lambda _: None,
    text: EvaluationText | None = None,
) -> Evaluation:
    """Return rate and NLL of the checkpoint ``model`` on a text; write what ``options`` ask for."""
    plugin.install()
    text = text or EvaluationText(options.src, options.tgt)
    lines = text.references
    loaded = load_autoencoder(model, options.gpu)
    if options.quantizers is not None:
        _keep_quantizers(loaded, options.quantizers)
    check_targets(loaded, text.targets is not None, f"-tgt {options.tgt or ''}".strip())
    pipe = trained_transforms(loaded)
    sentences = text.sentences(loaded, pipe)
    expected, index = "text segmented as the model's training text", token_index(loaded)
    check_coverage((s.tokens for s in sentences), index, f"-src {options.src}", expected)
    if text.targets is not None:
        index, name = token_index(loaded, "tgt"), f"-tgt {options.tgt}"
        check_coverage((s.reference.tokens for s in sentences), index, name, expected)
    coded = _coded(loaded, text.lines, options) if options.coded else None
    scores = Scorer(loaded, options.seed, options.batch_size).score(sentences, True)
    reconstruction = None
    if options.reconstruct is not None:
        opt = search_options(options.beam_size, options.max_length, options.batch_size)
        best = reconstruct(loaded, sentences, scores.output, pipe, opt)
        reconstruction = _reconstruction(lines, sentences, [b[0] for b in best], options)
    if options.scores is not None:
        write_costs(options.scores, _costs(sentences, scores))
    words = sum(sentence.reference.words for sentence in sentences)
    tokens = int(scores.tokens.sum())
    nll, rate, relaxed = (
        _bits(float(nats.sum()), tokens, words, len(sentences))
        for nats in (scores.nll_nats, scores.rate_nats, scores.relaxed_rate_nats)
    )
    difference = (scores.rate_nats - scores.relaxed_rate_nats) * BITS_PER_NAT
    return Evaluation(
        model=model,
        run=re.sub(r"_step_\d+$", "", str(Path(model)).removesuffix(CHECKPOINT)),
        step=loaded.step,
        rate_weight=loaded.rate_weight,
        bottleneck=loaded.opt.bottleneck,
        settings=bottleneck_settings(loaded.opt),
        label=bottleneck_label(loaded.opt),
        is_code=loaded.model.encoder.bottleneck.is_code,
        text=options.src if text.targets is None else str(options.tgt),
        sentences=len(sentences),
        empty_lines=len(lines) - len(sentences),
        words=words,
        tokens=tokens,
        unknown_tokens=int(scores.unknown.sum()),
        seed=options.seed,
        nll=nll,
        rate=rate,
        total=Bits(nll.token + rate.token, nll.word + rate.word, nll.sentence + rate.sentence),
        relaxed_rate=relaxed,
        rate_difference_bits_sentence=Mean.of(difference.tolist()),
        perplexity=perplexity(nll.token),
        token_accuracy=float(scores.correct.sum()) / tokens,
        dim=loaded.model.encoder.bottleneck.dim,
        quantized=loaded.quantized,
        codebooks=_codebooks(loaded, scores),
        entropy=_entropy(source_of(tuple(lines[s.index] for s in sentences)), loaded, scores),
        reconstruction=reconstruction,
        coded=coded,
        source=None if text.targets is None else _source(options.src, loaded, sentences, scores),
    )


def _keep_quantizers(loaded: LoadedAutoencoder, count: int) -> None:
    """Let the model send only the symbols of its first ``count`` quantizers."""
    bottleneck = loaded.model.encoder.bottleneck
    if not isinstance(bottleneck, ResidualBottleneck):
        raise UserError(
            f"-quantizers {count}: the model's bottleneck is {bottleneck.name}; expected a model "
            f"with -bottleneck residual_vq"
        )
    bottleneck.truncate(count)
    loaded.opt.quantizers = count


def _source(
    path: str, loaded: LoadedAutoencoder, sentences: list[Sentence], scores: SentenceScores
) -> Source:
    """Return the source of a text that is the target of another one."""
    index, tokens = token_index(loaded), [t for s in sentences for t in s.tokens]
    words, unknown = sum(s.words for s in sentences), sum(t not in index for t in tokens)
    rate = _bits(float(scores.rate_nats.sum()), len(tokens), words, len(sentences))
    return Source(path, words, len(tokens), unknown, rate)


def _coded(loaded: LoadedAutoencoder, lines: list[str], options: EvaluateOptions) -> Coded:
    """Return the bits of ``lines`` in a file of ``compress``."""
    with error_prefix("-coded"):
        codec = TextCodec(loaded, options.batch_size)
    file = codec.compressed(lines, options.seed, progress=True, with_rate=True)
    parts = FileReader(file.data).bits()
    return Coded(8 * len(file.data), parts, file.rate_nats * BITS_PER_NAT)


def _costs(sentences: list[Sentence], scores: SentenceScores) -> list[SentenceCost]:
    bits = (scores.nll_nats * BITS_PER_NAT).tolist(), (scores.rate_nats * BITS_PER_NAT).tolist()
    return [
        SentenceCost(sentence.index + 1, sentence.reference.words, nll, rate)
        for sentence, nll, rate in zip(sentences, *bits, strict=True)
    ]


def _bits(nats: float, tokens: int, words: int, sentences: int) -> Bits:
    bits = nats * BITS_PER_NAT
    return Bits(bits / tokens, bits / words, bits / sentences)


def _codebooks(loaded: LoadedAutoencoder, scores: SentenceScores) -> Codebooks | None:
    alphabet = loaded.model.encoder.bottleneck.alphabet
    if alphabet is None or scores.symbols is None:
        return None
    return codebook_usage(scores.symbols, alphabet)


def _entropy(
    source: KnownSource | None, loaded: LoadedAutoencoder, scores: SentenceScores
) -> Entropy | None:
    """Return the check of rate + NLL ≥ H, if the source is known and the model is a code."""
    if source is None or not loaded.model.encoder.bottleneck.is_code:
        return None
    total = ((scores.nll_nats + scores.rate_nats) * BITS_PER_NAT).tolist()
    unknown = scores.unknown.tolist()
    excess = [t - i for t, i, u in zip(total, source.ideal_bits, unknown, strict=True) if u == 0]
    if not excess:
        return None
    per_word = source.entropy_bits / source.expected_words
    return Entropy(source.entropy_bits, per_word, Mean.of(excess), len(excess))


def _reconstruction(
    lines: list[str], sentences: list[Sentence], outputs: list[str], options: EvaluateOptions
) -> Reconstruction:
    """Write the decoded ``outputs``, with the text's empty lines; compare them with ``lines``."""
    assert options.reconstruct is not None
    decoded = dict(zip((sentence.index for sentence in sentences), outputs, strict=True))
    write_lines(options.reconstruct, (decoded.get(i, "") for i in range(len(lines))))
    references = [joined(lines[sentence.index]) for sentence in sentences]
    outputs = list(map(joined, outputs))
    bleu, chrf = BLEU(tokenize="none", force=True), CHRF()  # words are compared as they are
    return Reconstruction(
        beam_size=options.beam_size,
        bleu=bleu.corpus_score(outputs, [references]).score,
        chrf=chrf.corpus_score(outputs, [references]).score,
        exact=sum(a == b for a, b in zip(references, outputs, strict=True)) / len(references),
        signature=str(bleu.get_signature()),
    )
