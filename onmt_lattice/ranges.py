"""Ranges of numeric options, told to the user in the words that an error needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onmt_lattice.errors import UserError


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes: finite ones of an interval, and perhaps some beside it.

    Attributes:
        low, high: the interval; infinite where there is no bound.
        above, below: leave out ``low``, leave out ``high``.
        also: numbers outside the interval that have a meaning of their own.
        meaning: which one it is.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    also: tuple[float, ...] = ()
    meaning: str = ""

    def __contains__(self, value: float) -> bool:
        if value in self.also:
            return True
        fits_low = value > self.low if self.above else value >= self.low
        fits_high = value < self.high if self.below else value <= self.high
        return math.isfinite(value) and fits_low and fits_high

    def __str__(self) -> str:
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'above' if self.above else 'at least'} {_plain(self.low)}")
        if self.high < math.inf:
            bounds.append(f"{'below' if self.below else 'at most'} {_plain(self.high)}")
        text = " and ".join(["a finite number"] if not bounds else bounds)
        beside = " or ".join(map(_plain, self.also))
        return f"{text}, or {beside} for {self.meaning}" if beside else text


def check_ranges(values: Mapping[str, Any], ranges: Mapping[str, Range]) -> None:
    """Raise :class:`UserError` for the first option of ``ranges`` outside its own.

    An option that is None was not given; of a list each number counts.
    """
    for name, allowed in ranges.items():
        value = values.get(name)
        if value is None:
            continue
        numbers: Iterable[float] = value if isinstance(value, list) else [value]
        if not all(number in allowed for number in numbers):
            raise UserError(f"-{name} {value}: expected {allowed}")


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


SEED = Range(0, 2**32 - 1)
COUNT = Range(1, 2**31 - 1)
SIZE = Range(1, 2**16)  # numbers a vector; beyond, no machine has the memory
THREADS = Range(1, 1024)  # torch crashes when it is asked for a hundred thousand
BEAM = Range(1, 1024)
DEVICE = Range(0, 2**31 - 1, also=(-1,), meaning="the CPU")


def duration(seconds: float) -> str:
    """Return a length of time as a person says it.

    >>> duration(4000)
    '1 h 7 min'
    """
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
