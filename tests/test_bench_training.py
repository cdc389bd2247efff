"""Training timed beside stock's, small: what is printed of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def test_training_is_timed_beside_stock_s(script: Callable[..., list[str]]) -> None:
    small = ("-rounds", 2, "-steps", 5, "-dim", 16, "-batch", 4, "-vocabulary", 50)
    title, head, *lines = script("bench_training.py", *small, "-only", "none", "gaussian")
    assert title == "50 words, batches of 4, 2 rounds of 5 steps on the CPU"
    assert "steps/s" in head and "h/500000" in head
    numbers = (line[18:].replace("to", "").split() for line in lines)
    rows = {line[:18].strip(): list(map(float, n)) for line, n in zip(lines, numbers, strict=True)}
    assert list(rows) == ["stock onmt_train", "none", "gaussian"]
    for ms, steps, tokens, hours, *_ in rows.values():
        assert steps == pytest.approx(1000 / ms, rel=0.05)
        assert hours == pytest.approx(500_000 / steps / 3600, rel=0.05)
        assert tokens > steps
    assert rows["none"][-1] == pytest.approx(rows["stock onmt_train"][-1], abs=1e-4)
    assert rows["gaussian"][-1] != rows["none"][-1]
