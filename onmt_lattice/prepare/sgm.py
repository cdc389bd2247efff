"""The SGML of WMT's test sets: one sentence to each ``<seg>`` element."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_SEGMENT = re.compile(r"<seg\b[^>]*>(.*?)</seg\s*>", re.IGNORECASE | re.DOTALL)
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9a-f]{1,6}));", re.IGNORECASE)
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def segments(lines: Iterable[str]) -> Iterator[str]:
    """Yield the sentences of an SGM file, each as one line with single spaces.

    A segment may run over several lines. Character entities are decoded, once, where Moses'
    ``input-from-sgm.perl`` lets them stand: training text has "&" and not "&amp;".
    """
    for sentence in _SEGMENT.findall("\n".join(lines)):
        yield decode_entities(" ".join(sentence.split()))


def decode_entities(text: str) -> str:
    """Return ``text`` with the five entities of XML and numeric ones decoded, others left alone."""
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    name, decimal, hexadecimal = entity.groups()
    if name:
        return _NAMED[name.lower()]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else entity.group()
