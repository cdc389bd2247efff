"""Reading text: UTF-8, one sentence per line.

A byte-order mark at the beginning is dropped. Compressed files, other encodings and NUL bytes are
refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest

from onmt_lattice.errors import UserError, read_errors

LONGEST_LINE = 2**13  # characters; a longer line is not a sentence, and takes a model minutes
FORM = f"UTF-8, a sentence a line, of at most {LONGEST_LINE:,} characters"  # for help
_JOINS = re.compile("@@ | ?￭ ?")
_MARK = b"\xef\xbb\xbf"  # the byte-order mark of UTF-8
_BEGINNINGS = {
    b"\x1f\x8b": "packed by gzip; gunzip unpacks it",
    b"BZh": "packed by bzip2; bunzip2 unpacks it",
    b"\xfd7zXZ": "packed by xz; unxz unpacks it",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unzstd unpacks it",
    b"PK\x03\x04": "a zip archive, as a checkpoint is",
    b"\xff\xfe\0\0": "in UTF-32; 'iconv -f UTF-32 -t UTF-8' makes UTF-8 of it",
    b"\xff\xfe": "in UTF-16; 'iconv -f UTF-16 -t UTF-8' makes UTF-8 of it",
    b"\xfe\xff": "in UTF-16; 'iconv -f UTF-16 -t UTF-8' makes UTF-8 of it",
}
_EXPECTED = "expected text in UTF-8, a sentence a line"


def lines_of(
    path: str | os.PathLike[str], option: str = "-src", longest: int | None = LONGEST_LINE
) -> Iterator[str]:
    """Yield the lines of the text at ``path``; only a line feed ends a line.

    Args:
        path: of the file.
        option: that names it, for errors.
        longest: the most characters of a line; None for no limit.
    """
    with read_errors(f"{option} {path}"), open(path, "rb") as file:
        yield from decoded_lines(file, path, option, longest)


def decoded_lines(
    lines: Iterable[bytes],
    path: str | os.PathLike[str],
    option: str = "-src",
    longest: int | None = LONGEST_LINE,
    first: int = 1,
) -> Iterator[str]:
    """Yield the texts of ``lines``, from number ``first`` on, of ``path``; see :func:`lines_of`."""
    for number, line in enumerate(lines, first):
        if number == 1:
            _check_beginning(line, path, option)
            line = line.removeprefix(_MARK)
        if b"\0" in line:
            raise UserError(f"{option} {path}: line {number} holds a NUL byte; {_EXPECTED}")
        try:
            text = line.removesuffix(b"\n").decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{option} {path}: not UTF-8 text ({error.reason} in line {number}); if it is in "
                f"another encoding, 'iconv -f ENCODING -t UTF-8' makes UTF-8 of it"
            ) from error
        if longest is not None and len(text) > longest:
            raise UserError(
                f"{option} {path}: line {number} has {len(text):,} characters; expected a sentence "
                f"a line, of at most {longest:,}"
            )
        yield text


def aligned(
    sources: Iterable[str], targets: Iterable[str], names: tuple[str, str], first: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield pairs of a source line and its target line."""
    for number, (source, target) in enumerate(zip_longest(sources, targets), first):
        if source is None or target is None:
            shorter, longer = names if source is None else names[::-1]
            raise UserError(
                f"{shorter}: has {number} lines, {longer} has more; expected a line of the target "
                f"for each line of the source"
            )
        yield source, target


def line_shards(
    path: str | os.PathLike[str], size: int, option: str = "-src"
) -> Iterator[list[str]]:
    """Yield lists of ``size`` lines of a text."""
    lines = lines_of(path, option)
    while shard := list(islice(lines, size)):
        yield shard


def read_lines(
    path: str | os.PathLike[str], option: str = "-src", longest: int | None = LONGEST_LINE
) -> list[str]:
    """Return the lines of a text as a list; refuse a text of empty lines alone."""
    lines = list(lines_of(path, option, longest))
    if not any(line.split() for line in lines):
        raise no_sentence(path, option)
    return lines


def is_sentence(line: str) -> bool:
    """Return whether ``line`` has words, and is not too long for a model."""
    return len(line) <= LONGEST_LINE and not line.isspace() and line != ""


def joined(line: str) -> str:
    """Return the words of ``line``, separated by spaces, with the pieces of each word joined.

    Pieces are marked by subword-nmt (``@@`` behind all but the last), sentencepiece (``▁`` before
    the first) and OpenNMT's tokenizer (``￭`` where two touch, or ``▁``). So costs per word do not
    depend on the segmentation.
    """
    pieces = line.split()
    if any(piece.startswith("▁") for piece in pieces):
        words = "".join(pieces).replace("▁", " ").split()
    else:
        words = _JOINS.sub("", f"{' '.join(pieces)} ").split()
    return " ".join(words or pieces)  # a line of marks alone has words too


def word_count(line: str) -> int:
    """Return the number of words in ``line``, see :func:`joined`."""
    return len(joined(line).split())


def no_sentence(path: str | os.PathLike[str], option: str = "-src") -> UserError:
    """Return the error for a text without a sentence."""
    return UserError(f"{option} {path}: no sentence in it; {_EXPECTED}")


def _check_beginning(line: bytes, path: str | os.PathLike[str], option: str) -> None:
    for beginning, description in _BEGINNINGS.items():
        if line.startswith(beginning):
            raise UserError(f"{option} {path}: is {description}; {_EXPECTED}")
