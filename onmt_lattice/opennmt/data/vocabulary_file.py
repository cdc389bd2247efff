"""Vocabulary files, as ``build_vocab`` writes them: per line a token, a tab and its count."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from onmt.inputters.fields import build_dynamic_fields
from onmt.utils.logging import logger

from onmt_lattice.errors import UserError
from onmt_lattice.text import lines_of

MAX_DIGITS = 18  # of a count
_CURE = "expected '<token>\\t<count>' or '<token>' a line, as 'onmt_lattice build_vocab' writes it"


def read_vocabulary(path: str, side: str = "src") -> tuple[list[list[str]] | list[str], bool]:
    """Return the tokens of a vocabulary, with their counts if the file has any, and whether it has.

    Replaces OpenNMT-py's ``_read_vocab_file``.
    """
    option = f"-{side}_vocab"
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(lines_of(path, option), 1):
        row = line.split(None, 1)
        if not row:
            continue
        row = [word.strip() for word in row]
        counted = len(next(iter(rows.values()), row)) == 2
        if len(row) != 1 + counted or not (len(row) == 1 or _is_count(row[1])):
            raise UserError(f"{option} {path}: line {number} is {line.strip()[:60]!r}; {_CURE}")
        if row[0] in rows:
            raise UserError(f"{option} {path}: line {number} repeats {row[0]!r}; {_CURE}")
        rows[row[0]] = row
    if not rows:
        raise UserError(f"{option} {path}: no token in it; {_CURE}")
    if len(next(iter(rows.values()))) == 2:
        return list(rows.values()), True
    return list(rows), False


def warn_of_changed_vocabulary(opt: Namespace, fields: dict[str, Any]) -> None:
    """Warn if the vocabularies of ``opt`` are not those of a resumed checkpoint's ``fields``."""
    logger.disabled = True  # it would log the vocabulary, which is not used
    try:
        built = build_dynamic_fields(opt)
    finally:
        logger.disabled = False
    for side in ("src",) if opt.share_vocab else ("src", "tgt"):
        new, old = (f[side].base_field.vocab.itos for f in (built, fields))
        if new != old:
            logger.warning(
                "-%s_vocab %s: its %d tokens are not those of the checkpoint, whose %d stay; "
                "-update_vocab takes the new ones",
                *(side, getattr(opt, f"{side}_vocab"), len(new), len(old)),
            )


def _is_count(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= MAX_DIGITS
