"""Scoring sentences: rate and NLL of each, independent of the batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from onmt_lattice.bottlenecks import BottleneckOutput
from onmt_lattice.noise import SentenceNoise
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder
from onmt_lattice.opennmt.data.sentences import Sentence
from onmt_lattice.opennmt.model.devices import matmul_precision
from onmt_lattice.opennmt.model.output_layer import Logits

Result = TypeVar("Result")


class SentenceScores(NamedTuple):
    """Scores of N sentences in their order, ``(N,)`` each; costs are in nats, float64.

    Attributes:
        nll_nats: −log probability of the target, end of sentence included.
        rate_nats: length of the source's codeword given the dither, the quantized rate.
        relaxed_rate_nats: the rate of training at a dither point of the same law.
        tokens: number of target tokens, end of sentence included (int64).
        unknown: number of target tokens outside the vocabulary (int64).
        correct: number of target tokens that were the decoder's first guess (int64).
        symbols: ``(N, symbols per sentence)`` int64, or None where nothing discrete is sent.
        output: ``(N, m)`` float32, of the bottleneck.
    """

    nll_nats: Tensor
    rate_nats: Tensor
    relaxed_rate_nats: Tensor
    tokens: Tensor
    unknown: Tensor
    correct: Tensor
    symbols: Tensor | None
    output: Tensor


class Scorer:
    """Scores sentences with a trained autoencoder, its dither and noise drawn by ``seed``."""

    def __init__(self, loaded: LoadedAutoencoder, seed: int, batch_size: int) -> None:
        self.model = loaded.model
        source, self.field = (loaded.fields[side].base_field for side in ("src", "tgt"))
        self.source_padding = source.vocab.stoi[source.pad_token]
        self.seed = seed
        self.batch_size = batch_size
        self.device = next(loaded.model.parameters()).device

    def score(self, sentences: list[Sentence], progress: bool = False) -> SentenceScores:
        """Return the scores of ``sentences``, in their order."""
        columns = zip(*self._batchwise(self._score_batch, sentences, progress), strict=True)
        joined = (None if c[0] is None else _in_order(c, sentences) for c in columns)
        return SentenceScores(*joined)  # type: ignore[arg-type]

    def encode(self, sentences: list[Sentence]) -> Tensor:
        """Return the ``output`` of :meth:`score` alone, ``(N, m)``."""
        batches = self._batchwise(lambda batch: self._quantized(batch).output.cpu(), sentences)
        return _in_order(batches, sentences)

    def points(self, sentences: list[Sentence]) -> Tensor:
        """Return the ``symbols`` of :meth:`score` alone, ``(N, symbols per sentence)``."""
        self.model.encoder.bottleneck.require_symbols()
        batches = self._batchwise(self._quantized, sentences)
        return _in_order([cast(Tensor, batch.symbols).cpu() for batch in batches], sentences)

    def represent(self, sentences: list[Sentence], progress: bool = False) -> Tensor:
        """Return X of each of ``sentences``, ``(N, m)``."""
        return _in_order(self._batchwise(self._represent, sentences, progress), sentences)

    def _batchwise(
        self,
        work: Callable[[list[Sentence]], Result],
        sentences: list[Sentence],
        progress: bool = False,
    ) -> list[Result]:
        """Return the results of ``work`` on batches of ``sentences``, the longest first."""
        order, results = _by_length(sentences), []
        with (
            torch.inference_mode(),
            matmul_precision("highest"),
            tqdm(total=len(sentences), unit="sent", desc="scoring", disable=not progress) as bar,
        ):
            for start in range(0, len(order), self.batch_size):
                batch = [sentences[i] for i in order[start : start + self.batch_size]]
                results.append(work(batch))
                bar.update(len(batch))
        return results

    def _channel(self, x: Tensor, batch: list[Sentence], relaxed: bool) -> BottleneckOutput:
        noise = SentenceNoise(self.seed, [sentence.index for sentence in batch])
        return self.model.encoder.bottlenecked(x, noise, relaxed)

    def _represent(self, batch: list[Sentence]) -> Tensor:
        src, lengths, _ = self._tensors(batch)
        return self.model.encoder.represent(src, lengths).float().cpu()

    def _quantized(self, batch: list[Sentence]) -> BottleneckOutput:
        src, lengths, _ = self._tensors(batch)
        return self._channel(self.model.encoder.represent(src, lengths), batch, relaxed=False)

    def _score_batch(self, batch: list[Sentence]) -> SentenceScores:
        src, lengths, tgt = self._tensors(batch)
        x = self.model.encoder.represent(src, lengths)
        quantized, relaxed = (self._channel(x, batch, relaxed) for relaxed in (False, True))
        decoded = self.model.decode(tgt, quantized.output)
        target = tgt[1:, :, 0]
        # By length, as a text may have the word that stands for padding.
        steps = torch.arange(len(target), device=self.device).unsqueeze(1)
        ends = torch.tensor([len(s.reference.ids) for s in batch], device=self.device)
        real = steps <= ends  # (tgt_len - 1, batch)
        nll, correct = self._token_scores(decoded, target, real)
        unknown = target == self.field.vocab.stoi[self.field.unk_token]
        return SentenceScores(
            nll.sum(0).cpu(),
            quantized.rate_nats.cpu(),
            relaxed.rate_nats.cpu(),
            real.sum(0).cpu(),
            unknown.sum(0).cpu(),
            correct.sum(0).cpu(),
            None if quantized.symbols is None else quantized.symbols.cpu(),
            quantized.output.cpu(),
        )

    def _tensors(self, batch: list[Sentence]) -> tuple[Tensor, Tensor, Tensor]:
        """Return source ``(len, batch, 1)``, its lengths, and target ``(len + 2, batch, 1)``."""
        ends = self.field.pad_token, self.field.init_token, self.field.eos_token
        padding, begin, end = (self.field.vocab.stoi[token] for token in ends)
        sources = [torch.tensor(s.ids) for s in batch]
        targets = [torch.tensor([begin, *s.reference.ids, end]) for s in batch]
        src = pad_sequence(sources, padding_value=self.source_padding)
        tgt = pad_sequence(targets, padding_value=padding)
        lengths = torch.tensor([len(sentence.ids) for sentence in batch])
        return src.unsqueeze(-1).to(self.device), lengths, tgt.unsqueeze(-1).to(self.device)

    @cached_property
    def _logits(self) -> Logits:
        return Logits(self.model.generator[0])

    def _token_scores(self, decoded: Tensor, target: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return NLL (nats, float64) of each token, and whether it was the decoder's first guess.

        Logits are computed for ``real`` tokens only; at padding there is 0 and False.
        """
        nll = torch.zeros(target.shape, dtype=torch.double, device=target.device)
        correct = torch.zeros_like(real)
        real_target = target[real].unsqueeze(1)
        costs, guessed = [], []
        for part, logits in self._logits.of(decoded[real]):
            top, at_target = logits.amax(1, keepdim=True), logits.gather(1, real_target[part])
            total = logits.sub_(top).exp2_().sum(1)
            costs.append(total.log2().double() + (top - at_target).squeeze(1))
            guessed.append((at_target == top).squeeze(1))
        nll[real], correct[real] = torch.cat(costs) * math.log(2), torch.cat(guessed)
        return nll, correct


def _by_length(sentences: list[Sentence]) -> list[int]:
    return sorted(range(len(sentences)), key=lambda i: -len(sentences[i].tokens))


def _in_order(batches: Sequence[Tensor], sentences: list[Sentence]) -> Tensor:
    """Return the rows of ``batches``, sorted by length, in the order of ``sentences``."""
    inverse = torch.empty(len(sentences), dtype=torch.long)
    inverse[torch.tensor(_by_length(sentences))] = torch.arange(len(sentences))
    return torch.cat(list(batches))[inverse]
