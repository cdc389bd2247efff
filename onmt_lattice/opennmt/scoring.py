"""Scoring sentences: rate and NLL of each, one pass, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from onmt.transforms import TransformPipe, get_transforms_cls, make_transforms
from torch import Tensor
from tqdm import tqdm

from onmt_lattice.errors import UserError
from onmt_lattice.noise import SentenceNoise
from onmt_lattice.opennmt.checkpoint import LoadedAutoencoder

LOGITS_AT_ONCE = 2**24
FILTERS = ("filtertoolong", "filterfeats")  # they drop lines; evaluation scores every line


@dataclass(frozen=True)
class Sentence:
    """A sentence ready for the model.

    Attributes:
        index: its line number from 0, which decides its dither.
        tokens: what the model sees, after the transforms it was trained with.
        words: whitespace words of the line.
    """

    index: int
    tokens: list[str]
    words: int


class SentenceScores(NamedTuple):
    """Scores of N sentences in the order given; nats, float64, each ``(N,)`` unless said.

    Attributes:
        nll_nats: −log probability of the sentence, end of sentence included.
        rate_nats: length of its codeword given the dither, the quantized rate.
        relaxed_rate_nats: the training-time rate at a dither point of the same law.
        tokens: target tokens, end of sentence included (int64).
        unknown: target tokens outside the vocabulary (int64).
        correct: target tokens that were the decoder's first guess (int64).
        symbols: ``(N, symbols a sentence)`` int64, or None where nothing discrete is sent.
    """

    nll_nats: Tensor
    rate_nats: Tensor
    relaxed_rate_nats: Tensor
    tokens: Tensor
    unknown: Tensor
    correct: Tensor
    symbols: Tensor | None


def trained_transforms(loaded: LoadedAutoencoder) -> TransformPipe:
    """Return the transforms that the model's training text went through.

    Raises:
        UserError: if one cannot be built here, such as for a subword model that was moved.
    """
    opt = loaded.opt
    corpus = opt.data.get("valid") or next(iter(opt.data.values()))
    names = [name for name in corpus["transforms"] if name not in FILTERS]
    try:
        built = make_transforms(opt, get_transforms_cls(names), loaded.fields)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the model was trained with transforms {names}, which cannot be built: {error}"
        ) from error
    return TransformPipe.build_from([built[name] for name in names])


def read_sentences(lines: list[str], loaded: LoadedAutoencoder) -> list[Sentence]:
    """Return the sentences of the ``lines`` that are not empty, with their line numbers."""
    pipe = trained_transforms(loaded)
    sentences = []
    for index, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        example: dict[str, Any] = {"src": words, "tgt": list(words)}
        example["src_original"] = example["tgt_original"] = words
        transformed = pipe.apply(example, is_train=False, corpus_name="valid")
        if transformed is None or not transformed["src"]:
            raise UserError(f"line {index + 1}: nothing is left of it after the transforms")
        sentences.append(Sentence(index, transformed["src"], len(words)))
    return sentences


class Scorer:
    """Scores sentences with a trained autoencoder.

    Args:
        loaded: the model.
        seed: seed of the dither and noise.
        batch_size: sentences a batch.
    """

    def __init__(self, loaded: LoadedAutoencoder, seed: int, batch_size: int) -> None:
        self.model = loaded.model
        self.field = loaded.fields["tgt"].base_field
        self.source_vocab = loaded.fields["src"].base_field.vocab
        self.seed = seed
        self.batch_size = batch_size
        self.device = next(loaded.model.parameters()).device

    def score(self, sentences: list[Sentence], progress: bool = False) -> SentenceScores:
        """Return the scores of ``sentences``, in their order; a progress bar if asked for."""
        order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i].tokens))
        parts: list[SentenceScores] = []
        with (
            torch.inference_mode(),
            tqdm(total=len(sentences), unit="sent", desc="scoring", disable=not progress) as bar,
        ):
            for start in range(0, len(order), self.batch_size):
                batch = [sentences[i] for i in order[start : start + self.batch_size]]
                parts.append(self._score_batch(batch))
                bar.update(len(batch))
        inverse = torch.empty(len(order), dtype=torch.long)
        inverse[torch.tensor(order)] = torch.arange(len(order))
        joined = {
            name: None if column[0] is None else torch.cat(column)[inverse]
            for name, column in zip(SentenceScores._fields, zip(*parts, strict=True), strict=True)
        }
        return SentenceScores(**joined)  # type: ignore[arg-type]

    def _score_batch(self, batch: list[Sentence]) -> SentenceScores:
        src, lengths, tgt = self._tensors(batch)
        indices = [sentence.index for sentence in batch]
        encoder = self.model.encoder
        x = encoder.represent(src, lengths)
        through = encoder.bottleneck.quantized(x, SentenceNoise(self.seed, indices))
        relaxed = encoder.bottleneck.relaxed(x, SentenceNoise(self.seed, indices))
        memory = encoder.empty_memory(src)
        self.model.decoder.init_state(src, memory, encoder.decoder_state(through.output))
        decoded, _ = self.model.decoder(tgt[:-1], memory, memory_lengths=lengths)
        target = tgt[1:, :, 0]
        # By length, as a text may hold the very word that stands for padding.
        steps = torch.arange(len(target), device=self.device).unsqueeze(1)
        real = steps <= lengths.to(self.device)  # (tgt_len - 1, batch)
        nll, guess = self._token_scores(decoded, target, real)
        unknown = target == self.field.vocab.stoi[self.field.unk_token]
        return SentenceScores(
            nll.sum(0).cpu(),
            through.rate_nats.cpu(),
            relaxed.rate_nats.cpu(),
            real.sum(0).cpu(),
            unknown.sum(0).cpu(),
            ((guess == target) & real).sum(0).cpu(),
            None if through.symbols is None else through.symbols.cpu(),
        )

    def _tensors(self, batch: list[Sentence]) -> tuple[Tensor, Tensor, Tensor]:
        """Return source ``(len, batch, 1)``, its lengths, and target ``(len + 2, batch, 1)``."""
        source, target = self.source_vocab.stoi, self.field.vocab.stoi
        longest = max(len(sentence.tokens) for sentence in batch)
        src = torch.full((longest, len(batch)), source[self.field.pad_token])
        tgt = torch.full((longest + 2, len(batch)), target[self.field.pad_token])
        for column, sentence in enumerate(batch):
            n = len(sentence.tokens)
            src[:n, column] = torch.tensor([source[token] for token in sentence.tokens])
            ids = [target[token] for token in sentence.tokens]
            ends = target[self.field.init_token], target[self.field.eos_token]
            tgt[: n + 2, column] = torch.tensor([ends[0], *ids, ends[1]])
        lengths = torch.tensor([len(sentence.tokens) for sentence in batch])
        return src.unsqueeze(-1).to(self.device), lengths, tgt.unsqueeze(-1).to(self.device)

    def _token_scores(self, decoded: Tensor, target: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return NLL (nats, float64; 0 at padding) and the decoder's first guess of each token.

        Only ``real`` tokens meet the vocabulary, so many at a time that memory stays bounded.
        """
        nll = torch.zeros(target.shape, dtype=torch.double, device=target.device)
        guess = torch.zeros_like(target)
        linear = self.model.generator[0]
        rows, truth = decoded[real], target[real]
        nll_rows, guesses = [], []
        for start, stop in _slices(len(rows), max(1, LOGITS_AT_ONCE // linear.out_features)):
            logits = linear(rows[start:stop]).float()
            chosen = logits.gather(1, truth[start:stop, None]).squeeze(1)
            nll_rows.append(logits.logsumexp(1).double() - chosen.double())
            guesses.append(logits.max(1).indices)
        nll[real], guess[real] = torch.cat(nll_rows), torch.cat(guesses)
        return nll, guess


def _slices(length: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, size):
        yield start, min(start + size, length)
