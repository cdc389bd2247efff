#!/usr/bin/env python3
"""Hold Gaussian Quant against lattices, in one trained Gaussian model and on the same sentences."""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path
from typing import Annotated, NamedTuple

import scripting
import torch
from torch import Tensor

from onmt_lattice.bottlenecks import GaussianBottleneck, GaussianChannel
from onmt_lattice.bottlenecks.channel import Channel, ChannelOutput
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.tables import Column, Table, columns
from onmt_lattice.noise import Noise
from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder
from onmt_lattice.opennmt.data.sentences import EvaluationText, Sentence, trained_transforms
from onmt_lattice.opennmt.inference.scoring import Scorer, SentenceScores
from onmt_lattice.opennmt.training import plugin

DESCRIPTION = """\
Gaussian Quant (arXiv 2512.06609) makes a vector quantizer of a trained Gaussian autoencoder: its
numbers are cut into groups, and of each the nearest of 2^16 random vectors of the prior is sent,
by the posterior's metric, at 16 bits. Here groups are numbers whose KL sums to about the same.
"""
ROWS_AT_ONCE = 128


class Row(NamedTuple):
    """Rate and NLL of a method, in bits per word; see the notes."""

    method: Annotated[str, Column("method")]
    kl: Annotated[float | None, Column("KL of a group", ".1f")]
    rate: Annotated[float, Column("rate", ".2f")]
    nll: Annotated[float, Column("NLL", ".2f")]
    rate_over: Annotated[float, Column("rate over", "+.3f")]
    rate_half: Annotated[float, Column("±", ".3f")]
    nll_over: Annotated[float, Column("NLL over", "+.3f")]
    nll_half: Annotated[float, Column("± ", ".3f")]


class GaussianQuant(Channel):
    """Sends of each group of numbers the codeword nearest to μ, at a fixed number of ``bits``.

    All groups share a codebook, drawn from ``seed``; ``gaussian`` is the channel it replaces.
    """

    def __init__(self, gaussian: GaussianChannel, groups: int, bits: int, seed: int) -> None:
        super().__init__(gaussian.dim, gaussian.dim)
        self.load_state_dict(gaussian.state_dict(), strict=False)
        self.kl = (self.log_prior - self.log_sigma).detach()  # of a number, on average
        self.groups = _split(self.kl, groups)
        self.nats = groups * bits * math.log(2)
        generator = torch.Generator().manual_seed(seed)
        self.book = torch.randn(2**bits, max(map(len, self.groups)), generator=generator)

    def quantized(self, mean: Tensor, noise: Noise) -> ChannelOutput:
        """See :meth:`Channel.quantized`."""
        scale = self.log_prior.exp()
        target, weight = (mean - self.center) / scale, (2 * (self.log_prior - self.log_sigma)).exp()
        value = torch.empty_like(mean)
        for group in self.groups:
            book = self.book[:, : len(group)]
            norms = book.square() @ weight[group] / 2
            parts = (target[:, group] * weight[group]).split(ROWS_AT_ONCE)
            index = torch.cat([(part @ book.T - norms).argmax(1) for part in parts])
            value[:, group] = book[index]
        rate = torch.full((len(mean),), self.nats, dtype=torch.double)
        return ChannelOutput(self.center + scale * value, rate, None)

    relaxed = quantized


def _split(kl: Tensor, groups: int) -> list[Tensor]:
    """Return the numbers in groups, the largest ``kl`` left to the group with the least."""
    members: list[list[int]] = [[] for _ in range(groups)]
    sums = [0.0] * groups
    for number in kl.argsort(descending=True).tolist():
        least = sums.index(min(sums))
        members[least].append(number)
        sums[least] += float(kl[number])
    return [torch.tensor(each, dtype=torch.long) for each in members]


def _row(method: str, scores: SentenceScores, first: SentenceScores, words: int) -> Row:
    values = []
    for nats in ("rate_nats", "nll_nats"):
        own = getattr(scores, nats) / math.log(2)
        over = own - getattr(first, nats) / math.log(2)
        half = 1.96 * float(over.std()) * math.sqrt(len(own)) / words
        values.append((float(own.sum()) / words, float(over.sum()) / words, half))
    (rate, rate_over, rate_half), (nll, nll_over, nll_half) = values
    return Row(method, None, rate, nll, rate_over, rate_half, nll_over, nll_half)


def rows_of(args: argparse.Namespace) -> list[Row]:
    """Return a row for the Gaussian, for each lattice and for each number of groups."""
    plugin.install()
    loaded = load_autoencoder(args.model)
    bottleneck = loaded.model.encoder.bottleneck
    if not isinstance(bottleneck, GaussianBottleneck):
        raise UserError(f"-model {args.model}: expected a model with -bottleneck gaussian")
    sentences: list[Sentence] = EvaluationText(args.src).sentences(
        loaded, trained_transforms(loaded)
    )
    words = sum(sentence.words for sentence in sentences)
    first = Scorer(loaded, args.seed, 64).score(sentences)
    rows = [_row("Gaussian", first, first, words)]
    for path in args.lattices:
        lattice = load_autoencoder(path)
        scores = Scorer(lattice, args.seed, 64).score(sentences)
        rows.append(_row(f"lattice {lattice.opt.lattice}", scores, first, words))
    gaussian = bottleneck.channel
    for groups, bits in itertools.product(args.groups, args.bits):
        channel = GaussianQuant(gaussian, groups, bits, args.seed)
        bottleneck.channel = channel
        kl = float(channel.kl.sum()) / groups / math.log(2)
        scores = Scorer(loaded, args.seed, 64).score(sentences)
        name = f"Gaussian Quant, {groups} × {bits} bits"
        rows.append(_row(name, scores, first, words)._replace(kl=kl))
    return rows


def main() -> None:
    """Measure, print the table and write it."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-model", required=True, help="a Gaussian model, its prior refitted")
    parser.add_argument("-lattices", nargs="*", default=[], help="models quantized from it")
    parser.add_argument("-src", required=True, help="the text to measure on")
    parser.add_argument("-groups", nargs="+", type=int, default=[4, 5, 6, 8])
    parser.add_argument("-bits", nargs="+", type=int, default=[16], help="of a codebook's size")
    parser.add_argument("-seed", type=int, default=0, help="of codebook, dither and noise")
    parser.add_argument("-output", type=Path, default=Path("runs/gaussian_quant.txt"))
    args = parser.parse_args()
    rows = rows_of(args)
    notes = (
        "In bits per word. Gaussian Quant: groups × bits, which each group takes whatever is sent,",
        "the nearest of 2^bits random codewords. KL of a group: bits, the mean over groups, by the",
        "fitted prior. over: less the Gaussian's of the same sentences, ± 95 % over sentences,",
        f"which leaves out other codebooks, dithers and models. Seed {args.seed}.",
    )
    table = Table("Gaussian Quant in a trained Gaussian model", columns(Row), rows, notes)
    scripting.publish(table, args.output)


if __name__ == "__main__":
    scripting.run(main)
