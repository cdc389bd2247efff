"""Lengths of time, for people who wait."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a length of time as a person says it.

    >>> duration(4000)
    '1 h 7 min'
    """
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
