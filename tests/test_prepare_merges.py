import io
import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subword_nmt.learn_bpe import learn_bpe

from onmt_lattice.prepare.merges import learn_merges


def by_definition(words, merges, least=2):
    """Return the merges by counting all pairs anew before each."""
    spelled = [([*word[:-1], word[-1] + "</w>"], count) for word, count in words]
    result = []
    while len(result) < merges:
        frequency = Counter()
        for symbols, count in spelled:
            for pair in pairwise(symbols):
                frequency[pair] += count
        if not frequency:
            break
        pair = max(frequency, key=lambda p: (frequency[p], p))
        if frequency[pair] < least:
            break
        result.append((pair, frequency[pair]))
        for symbols, _ in spelled:
            i = 0
            while i < len(symbols) - 1:
                if (symbols[i], symbols[i + 1]) == pair:
                    symbols[i : i + 2] = ["".join(pair)]
                i += 1
    return result


words = st.dictionaries(
    st.text("abc", min_size=1, max_size=8), st.integers(1, 30), min_size=1, max_size=12
)


@given(words=words, merges=st.integers(1, 40))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_merges_are_those_of_the_definition(words, merges):
    assert list(learn_merges(words.items(), merges)) == by_definition(words.items(), merges)


@given(words=words)
@settings(max_examples=50, derandomize=True, deadline=None)
def test_frequencies_never_rise_and_end_at_the_least(words):
    frequencies = [frequency for _, frequency in learn_merges(words.items(), 1000, least=3)]
    assert frequencies == sorted(frequencies, reverse=True)
    assert all(frequency >= 3 for frequency in frequencies)


def made_up_text():
    rng = random.Random(1)
    stems = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 6))) for _ in range(300)]
    ends = ["", "s", "ing", "ed", "er", "est", "-like", "é"]
    return [
        " ".join(stems[int(rng.paretovariate(0.8)) % 300] + rng.choice(ends) for _ in range(12))
        for _ in range(1500)
    ]


def test_subword_nmt_learns_the_same_merges():
    text = made_up_text()
    theirs = io.StringIO()
    learn_bpe(text, theirs, 800)
    counts = Counter(word for line in text for word in line.split())
    ours = [f"{left} {right}" for (left, right), _ in learn_merges(counts.items(), 800)]
    assert ["#version: 0.2", *ours] == theirs.getvalue().splitlines()
    assert len(ours) == 800


@pytest.mark.parametrize("words", [{}, {"a": 100}, {"ab": 1, "cd": 1}])
def test_nothing_to_merge_gives_no_merges(words):
    assert list(learn_merges(words.items(), 10)) == []
