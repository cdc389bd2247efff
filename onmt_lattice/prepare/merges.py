"""Byte pair encoding: learning the merges (Sennrich, Haddow and Birch 2016, Algorithm 1).

``subword_nmt.learn_bpe`` learns the same merges (a test compares them) in three to four times the
memory, which German and English together would bring past 2 GiB, and three times the time.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import pairwise

END = "</w>"  # what the last symbol of a word ends with

Pair = tuple[str, str]
_Entry = tuple[int, tuple[int, ...], tuple[int, ...], Pair]  # -frequency, order of symbols, pair


def learn_merges(
    words: Iterable[tuple[str, int]], merges: int, least: int = 2
) -> Iterator[tuple[Pair, int]]:
    """Yield up to ``merges`` pairs of symbols to merge, best first, each with its frequency.

    Every time it is the pair that occurs most often in the ``words``, given with how often each
    occurs; of several the last in alphabetical order. Stops early when no pair occurs ``least``
    times. The words must differ and must not be empty.
    """
    spelled = _Spelled(words)
    ranking = _Ranking(spelled.frequency, least)
    for _ in range(merges):
        pair = ranking.best()
        if pair is None:
            return
        yield pair, spelled.frequency[pair]
        ranking.update(spelled.merge(pair))


class _Spelled:
    """The words as symbols, with the frequency of each pair and the words it occurs in."""

    def __init__(self, words: Iterable[tuple[str, int]]) -> None:
        self.frequency: Counter[Pair] = Counter()
        self._symbols: list[tuple[str, ...]] = []
        self._counts = array("q")
        # Numbers of words; some may have lost the pair since.
        self._where: defaultdict[Pair, array[int]] = defaultdict(lambda: array("i"))
        for word, count in words:
            symbols = (*word[:-1], word[-1] + END)
            self._add_pairs(len(self._symbols), symbols, count)
            self._symbols.append(symbols)
            self._counts.append(count)

    def _add_pairs(
        self, word: int, symbols: tuple[str, ...], count: int, new: str | None = None
    ) -> None:
        """Count the pairs of a word; note where those are of which ``new`` is a part, or all."""
        pairs = list(pairwise(symbols))
        for pair in pairs:
            self.frequency[pair] += count
        for pair in set(pairs):
            if new is None or new in pair:
                self._where[pair].append(word)

    def merge(self, pair: Pair) -> set[Pair]:
        """Merge ``pair`` wherever it occurs; return the pairs that have become more frequent."""
        joined = "".join(pair)
        grown: set[Pair] = set()
        for word in set(self._where.pop(pair)):
            old = self._symbols[word]
            new = _merged(old, pair, joined)
            if len(new) == len(old):
                continue
            self._symbols[word] = new
            self._add_pairs(word, new, self._counts[word], joined)
            self._remove_pairs(old, self._counts[word])
            grown.update(p for p in pairwise(new) if joined in p)
        return grown

    def _remove_pairs(self, symbols: tuple[str, ...], count: int) -> None:
        for pair in pairwise(symbols):
            left = self.frequency[pair] - count
            if left:
                self.frequency[pair] = left
            else:
                del self.frequency[pair]
                self._where.pop(pair, None)


class _Ranking:
    """The most frequent pair, from a heap of those above a threshold, which sinks.

    Frequencies fall unless :meth:`update` hears of it, so an entry of the heap stands no lower
    than it should: one that comes up with another frequency than its pair's goes back with that.
    """

    def __init__(self, frequency: Counter[Pair], least: int) -> None:
        self._frequency = frequency
        self._least = least
        self._threshold = max(frequency.values(), default=0) + 1
        self._heap: list[_Entry] = []
        self._descending = lru_cache(maxsize=None)(_descending)

    def best(self) -> Pair | None:
        """Return the pair to merge next, or None when none is frequent enough."""
        while (pair := self._top()) is None and self._threshold > self._least:
            self._threshold = max(self._least, self._threshold * 3 // 4)
            self._heap = [
                self._entry(p) for p, n in self._frequency.items() if n >= self._threshold
            ]
            heapify(self._heap)
        return pair

    def _top(self) -> Pair | None:
        while self._heap:
            frequency, *_, pair = heappop(self._heap)
            if -frequency == self._frequency[pair]:
                return pair
            self.update([pair])
        return None

    def update(self, grown: Iterable[Pair]) -> None:
        """Take in the pairs whose frequency has grown."""
        for pair in grown:
            if self._frequency[pair] >= self._threshold:
                heappush(self._heap, self._entry(pair))

    def _entry(self, pair: Pair) -> _Entry:
        left, right = map(self._descending, pair)
        return -self._frequency[pair], left, right, pair


def _descending(symbol: str) -> tuple[int, ...]:
    """Return a key that sorts symbols from last to first."""
    return (*(-ord(character) for character in symbol), 1)


def _merged(symbols: tuple[str, ...], pair: Pair, joined: str) -> tuple[str, ...]:
    """Return ``symbols`` with ``pair`` replaced by ``joined``, from left to right."""
    first, second = pair
    result: list[str] = []
    i, last = 0, len(symbols) - 1
    while i <= last:
        if symbols[i] == first and i < last and symbols[i + 1] == second:
            result.append(joined)
            i += 2
        else:
            result.append(symbols[i])
            i += 1
    return tuple(result)
