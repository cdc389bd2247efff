"""How much of their codebooks the quantizers use."""

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
        lowest_perplexity: that of the least used codebook; 1 if it always sends the same entry.
        unused: share of all N · M entries that no sentence used.
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


class CodebookUsage:
    """Counts of the entries that sentences used."""

    def __init__(self) -> None:
        self.symbols: list[Tensor] = []

    def add(self, symbols: Tensor) -> None:
        """Count ``symbols`` ``(batch, N)``."""
        self.symbols.append(symbols.cpu())

    def summary(self, entries: int) -> Codebooks:
        """Return the use of codebooks of M = ``entries`` each."""
        import torch  # not needed to read what was counted

        symbols = torch.cat(self.symbols)  # (sentences, N)
        counts = torch.stack([(symbols == k).sum(0) for k in range(entries)]).double()  # (M, N)
        share = counts / len(symbols)
        perplexity = torch.special.entr(share).sum(0).exp()
        return Codebooks(
            entries,
            perplexity.mean().item(),
            perplexity.min().item(),
            (counts == 0).double().mean().item(),
        )


@dataclass(frozen=True)
class Coded:
    """The bits of a file of ``compress``.

    Attributes:
        bits: of the whole file.
        parts: of each part of it; they sum to ``bits``.
        rate_bits: the ideal length of what is sent in it, by the rate of the very same points. They
            are quantized with the coder's dither, another draw of the same law as the one that the
            evaluation's rate is of.
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
