"""What a text's representations take in a file, beside what they should take."""

from __future__ import annotations

from dataclasses import dataclass


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
