"""Evaluating a checkpoint on a text."""

from __future__ import annotations

import dataclasses
import math
import re
from functools import lru_cache
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

from onmt_lattice.codebook import Codebooks, CodebookUsage
from onmt_lattice.corpus import english_grammar, ideal_bits
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation import Bits, Entropy, Evaluation, Mean, Reconstruction
from onmt_lattice.files import read_lines, write_lines
from onmt_lattice.opennmt import plugin
from onmt_lattice.opennmt.checkpoint import LoadedAutoencoder, load_autoencoder
from onmt_lattice.opennmt.options import bottleneck_label, bottleneck_settings, translate_parser
from onmt_lattice.opennmt.parsing import parse
from onmt_lattice.opennmt.scoring import Scorer, Sentence, SentenceScores, read_sentences
from onmt_lattice.opennmt.translation import reconstruct

BITS_PER_NAT = 1 / math.log(2)
FOREIGN_SHARE = 0.5  # of the tokens unknown: not the kind of text the model was trained on


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """What ``onmt_lattice evaluate`` was asked for; see its ``--help``."""

    model: str
    src: str
    seed: int = 0
    batch_size: int = 64
    gpu: int = -1
    reconstruct: str | None = None
    beam_size: int = 1
    max_length: int = 100
    progress: bool = False


def evaluate(options: EvaluateOptions) -> Evaluation:
    """Return rate and NLL of a checkpoint on a text, and write its reconstruction if asked for.

    Raises:
        UserError: if the text or checkpoint cannot be used, or they do not belong together.
    """
    plugin.install()
    lines = read_lines(options.src)
    loaded = load_autoencoder(options.model, options.gpu)
    sentences = read_sentences(lines, loaded)
    scores = Scorer(loaded, options.seed, options.batch_size).score(sentences, options.progress)
    check_vocabulary(scores, options)
    words = sum(sentence.words for sentence in sentences)
    tokens = int(scores.tokens.sum())
    nll, rate, relaxed = (
        _bits(float(nats.sum()), tokens, words, len(sentences))
        for nats in (scores.nll_nats, scores.rate_nats, scores.relaxed_rate_nats)
    )
    difference = (scores.rate_nats - scores.relaxed_rate_nats) * BITS_PER_NAT
    return Evaluation(
        model=options.model,
        run=re.sub(r"_step_\d+$", "", str(Path(options.model).with_suffix(""))),
        step=loaded.step,
        rate_weight=loaded.rate_weight,
        bottleneck=loaded.opt.bottleneck,
        settings=bottleneck_settings(loaded.opt),
        label=bottleneck_label(loaded.opt),
        pays=loaded.model.encoder.bottleneck.pays,
        text=options.src,
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
        perplexity=2**nll.token,
        token_accuracy=float(scores.correct.sum()) / tokens,
        dim=loaded.model.encoder.bottleneck.dim,
        codebooks=_codebooks(loaded, scores),
        entropy=_entropy(lines, sentences, loaded, scores),
        reconstruction=_reconstruction(lines, sentences, loaded, options),
    )


def check_vocabulary(scores: SentenceScores, options: EvaluateOptions) -> None:
    """Refuse a text most of whose tokens the model has never seen: not its kind of text."""
    known = scores.tokens - 1  # the end of sentence is always known
    if int(scores.unknown.sum()) > FOREIGN_SHARE * int(known.sum()):
        raise UserError(
            f"-src {options.src}: {int(scores.unknown.sum())} of {int(known.sum())} tokens are not "
            f"in the model's vocabulary; expected text segmented as the model's training text"
        )


def _bits(nats: float, tokens: int, words: int, sentences: int) -> Bits:
    bits = nats * BITS_PER_NAT
    return Bits(bits / tokens, bits / words, bits / sentences)


def _codebooks(loaded: LoadedAutoencoder, scores: SentenceScores) -> Codebooks | None:
    alphabet = loaded.model.encoder.bottleneck.alphabet
    if alphabet is None or scores.symbols is None:
        return None
    usage = CodebookUsage()
    usage.add(scores.symbols)
    return usage.summary(alphabet)


@lru_cache(maxsize=1)  # one text, many checkpoints
def _ideal_bits(lines: tuple[str, ...]) -> list[float] | None:
    return ideal_bits(lines)


def _entropy(
    lines: list[str], sentences: list[Sentence], loaded: LoadedAutoencoder, scores: SentenceScores
) -> Entropy | None:
    """Return the check of rate + NLL ≥ H if every sentence is one of the embedded grammar."""
    if not loaded.model.encoder.bottleneck.pays:
        return None
    ideal = _ideal_bits(tuple(lines[sentence.index] for sentence in sentences))
    if ideal is None:
        return None
    total = ((scores.nll_nats + scores.rate_nats) * BITS_PER_NAT).tolist()
    unknown = scores.unknown.tolist()
    excess = [t - i for t, i, u in zip(total, ideal, unknown, strict=True) if u == 0]
    if not excess:
        return None
    grammar = english_grammar()
    per_word = grammar.entropy_bits / grammar.expected_words
    return Entropy(grammar.entropy_bits, per_word, Mean.of(excess), len(excess))


def _reconstruction(
    lines: list[str],
    sentences: list[Sentence],
    loaded: LoadedAutoencoder,
    options: EvaluateOptions,
) -> Reconstruction | None:
    """Decode every sentence, write the text, and compare it with the input."""
    if options.reconstruct is None:
        return None
    decoded = [""] * len(lines)
    opt = parse(translate_parser, [
        "-model", options.model, "-src", options.src, "-seed", str(options.seed),
        "-gpu", str(options.gpu), "-batch_size", str(options.batch_size),
        "-beam_size", str(options.beam_size), "-max_length", str(options.max_length),
    ])  # fmt: skip
    for sentence, best in zip(sentences, reconstruct(loaded, sentences, opt), strict=True):
        decoded[sentence.index] = best[0]
    write_lines(options.reconstruct, decoded)
    inputs = [" ".join(lines[sentence.index].split()) for sentence in sentences]
    outputs = [decoded[sentence.index] for sentence in sentences]
    # The text is tokenised already and goes as it is, so that the score depends on nothing else.
    bleu, chrf = BLEU(tokenize="none", force=True), CHRF()
    return Reconstruction(
        beam_size=options.beam_size,
        bleu=bleu.corpus_score(outputs, [inputs]).score,
        chrf=chrf.corpus_score(outputs, [inputs]).score,
        exact=sum(a == b for a, b in zip(inputs, outputs, strict=True)) / len(inputs),
        signature=str(bleu.get_signature()),
    )
