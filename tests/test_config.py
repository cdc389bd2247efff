"""Ranges: what they hold and how they say it."""

from __future__ import annotations

import pytest

from onmt_lattice.config import Range, check_ranges
from onmt_lattice.errors import UserError


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "said"),
    [
        (Range(1, 3), [1, 3], [0, 4, float("nan")], "at least 1 and at most 3"),
        (Range(0, above=True), [1e-9], [0, -1, float("inf")], "above 0"),
        (Range(0, 1, below=True), [0, 0.5], [1, -0.1], "at least 0 and below 1"),
        (Range(), [-1e300, 0], [float("nan"), float("-inf")], "a finite number"),
        (Range(1, also=(-1,), meaning="none"), [-1, 1], [0, -2], "at least 1, or -1 for none"),
    ],
)
def test_a_range(allowed: Range, inside: list[float], outside: list[float], said: str) -> None:
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)
    assert str(allowed) == said


def test_each_number_of_a_list_counts_and_what_is_not_given_does_not() -> None:
    ranges = {"dropout": Range(0, 1, below=True), "seed": Range(0)}
    check_ranges({"dropout": [0.1, 0.2], "seed": None}, ranges)
    with pytest.raises(UserError, match=r"-dropout \[0.1, 1.0\]: expected at least 0 and below 1"):
        check_ranges({"dropout": [0.1, 1.0]}, ranges)
