"""The use of codebooks, and the bits of a compressed text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Codebooks:
    """Use of N codebooks of M entries.

    Attributes:
        entries: M.
        perplexity: exp of the entropy of the entries used, a mean over the codebooks; M at most.
        lowest_perplexity: of the least used codebook; 1 if it always sends the same entry.
        unused: share of the N · M entries that no sentence uses.
    """

    entries: int
    perplexity: float
    lowest_perplexity: float
    unused: float

    def describe(self) -> str:
        """Return the summary as one phrase."""
        return (
            f"perplexity {self.perplexity:.2f} of {self.entries} (lowest "
            f"{self.lowest_perplexity:.2f}), {100 * self.unused:.1f} % of the entries unused"
        )


def codebook_usage(symbols: Tensor, entries: int) -> Codebooks:
    """Return how ``symbols`` ``(sentences, N)`` use codebooks of M = ``entries`` each."""
    import torch  # not needed to read evaluations

    counts = torch.stack([torch.bincount(s, minlength=entries) for s in symbols.T]).double()
    perplexity = torch.special.entr(counts / len(symbols)).sum(1).exp()  # of counts (N, M)
    unused = (counts == 0).double().mean().item()
    return Codebooks(entries, perplexity.mean().item(), perplexity.min().item(), unused)


@dataclass(frozen=True)
class Coded:
    """The bits of a file of ``compress``.

    Attributes:
        bits: of the whole file.
        parts: of each part; they sum to ``bits``.
        rate_bits: the ideal length of the symbols in it. The coder's dither is another draw of the
            same law as the evaluation's, so this differs a little from the rate.
    """

    bits: int
    parts: dict[str, int]
    rate_bits: float

    def describe(self) -> str:
        """Return the numbers as a phrase."""
        parts = ", ".join(f"{name} {bits}" for name, bits in self.parts.items())
        return (
            f"{self.bits} bits ({parts}), {self.bits - self.rate_bits:+.0f} over the rate of the "
            f"same points ({100 * (self.bits / self.rate_bits - 1):+.2f} %)"
        )
