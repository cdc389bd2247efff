"""HTML put together from parts, in which all text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """HTML. Any other string is text and is escaped on its way into a page."""


def markup(value: object) -> Markup:
    """Return ``value`` as HTML: as it is if it is HTML already, else its text escaped."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def element(name: str, *content: object, **attributes: object) -> Markup:
    """Return the element ``name`` with ``content``, one part behind the other.

    An attribute may end in an underscore where its name is a word of Python; None leaves it out.

    >>> element("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    given = [(k.rstrip("_"), v) for k, v in attributes.items() if v is not None]
    start = "".join(f' {key}="{escape(str(value))}"' for key, value in given)
    return Markup(f"<{name}{start}>{joined(content)}</{name}>")


def joined(parts: Iterable[object], between: str = "") -> Markup:
    """Return ``parts`` as HTML, one behind the other."""
    return Markup(escape(between).join(map(markup, parts)))


def table(headings: Sequence[object], rows: Iterable[Sequence[object]], align: str) -> Markup:
    """Return a table whose heading stays in view.

    Args:
        headings: of the columns.
        rows: the cells of each.
        align: ``l``, ``r`` or ``w`` for each column: text, numbers, or text that may wrap.
    """

    def line(kind: str, cells: Sequence[object]) -> Markup:
        pairs = zip(cells, align, strict=True)
        return element("tr", *(element(kind, cell, class_=column) for cell, column in pairs))

    head = element("thead", line("th", headings))
    body = element("tbody", *(line("td", row) for row in rows))
    # Reached by the keyboard too, as it may scroll.
    return element("div", element("table", head, body), class_="scroll", tabindex=0)


def details(summary: object, *content: object, open_: bool = False) -> Markup:
    """Return ``content`` folded away behind ``summary``."""
    return element("details", element("summary", summary), *content, open="open" if open_ else None)


def section(title: str, *content: object) -> Markup:
    """Return a section of the page under its title."""
    return element("section", element("h2", title), *content)
