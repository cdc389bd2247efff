"""Perplexity and use of codebooks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.evaluation.codebook import Codebooks, CodebookUsage


def summary(symbols: list[list[int]], entries: int) -> Codebooks:
    usage = CodebookUsage()
    usage.add(torch.tensor(symbols))
    return usage.summary(entries)


def test_even_use_has_the_perplexity_of_the_alphabet() -> None:
    even = summary([[k, (k + 1) % 5] for k in range(5)], 5)
    assert even.perplexity == pytest.approx(5)
    assert even.lowest_perplexity == pytest.approx(5)
    assert even.unused == 0


def test_one_entry_alone_has_perplexity_one() -> None:
    assert summary([[2], [2], [2]], 4) == Codebooks(4, 1.0, 1.0, 0.75)


def test_perplexity_is_exp_of_the_entropy_meaned_over_the_codebooks() -> None:
    got = summary([[0, 1], [0, 1], [1, 1], [0, 1]], 2)
    skewed = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert got.perplexity == pytest.approx((skewed + 1) / 2)
    assert got.lowest_perplexity == pytest.approx(1)
    assert got.unused == 1 / 4


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    entries=st.integers(2, 6),
    rows=st.integers(1, 8),
    codebooks=st.integers(1, 4),
    data=st.data(),
)
def test_the_laws_of_usage(entries: int, rows: int, codebooks: int, data: st.DataObject) -> None:
    row = st.lists(st.integers(0, entries - 1), min_size=codebooks, max_size=codebooks)
    symbols = data.draw(st.lists(row, min_size=rows, max_size=rows))
    got = summary(symbols, entries)
    assert 1 - 1e-12 <= got.lowest_perplexity <= got.perplexity + 1e-12
    assert got.perplexity <= min(entries, rows) + 1e-12
    used = sum(len({r[j] for r in symbols}) for j in range(codebooks))
    assert got.unused == pytest.approx(1 - used / (entries * codebooks))
    split = CodebookUsage()  # counted in two parts, in another order
    for part in (symbols[1:][::-1], symbols[:1]):
        split.add(torch.tensor(part, dtype=torch.long).view(-1, codebooks))
    again = split.summary(entries)
    assert again.perplexity == pytest.approx(got.perplexity)
    assert again.unused == got.unused


def test_the_phrase_has_every_number() -> None:
    phrase = Codebooks(4, 2.345, 1.0, 0.125).describe()
    assert phrase == "perplexity 2.35 of 4 (lowest 1.00), 12.5 % of the entries unused"
