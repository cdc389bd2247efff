"""A page of HTML taken apart, and refused where it is not well-formed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

VOID = {"meta", "br", "hr", "img", "link", "input"}
LOADING = {"src", "href", "xlink:href", "srcset", "data", "poster", "action"}


class Tag(NamedTuple):
    """A start tag, with the tags it lies in."""

    name: str
    attributes: dict[str, str]
    inside: tuple[str, ...]


class Cell(NamedTuple):
    """A cell of a table: its text and its class."""

    text: str
    kind: str


class HtmlPage(HTMLParser):
    """The start tags of a page, its text, the rows of its tables, and its ``<title>``s by element.

    Raises:
        AssertionError: where tags do not match.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[Tag] = []
        self.tags: list[Tag] = []
        self.titles: dict[str, str] = {}  # by the id of the element they are in
        self.rows: list[list[Cell]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {key: value or "" for key, value in attrs}
        assert len(attributes) == len(attrs), f"an attribute twice in {self.get_starttag_text()}"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append(Cell("", attributes.get("class", "")))
        self.tags.append(Tag(tag, attributes, tuple(t.name for t in self.open)))
        if tag not in VOID:
            self.open.append(self.tags[-1])

    def handle_endtag(self, tag: str) -> None:
        assert tag not in VOID
        assert self.open and self.open.pop().name == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1].name == "title" and len(self.open) > 3:
            self.titles[self.open[-2].attributes.get("id", "")] = data
        elif not self.open or self.open[-1].name != "style":
            self.text += data
            if {"td", "th"} & {tag.name for tag in self.open}:
                cell = self.rows[-1].pop()
                self.rows[-1].append(cell._replace(text=cell.text + data))

    def named(self, name: str) -> list[Tag]:
        """Return the start tags of a name."""
        return [tag for tag in self.tags if tag.name == name]

    def of_class(self, name: str) -> list[Tag]:
        """Return the start tags of a class."""
        return [tag for tag in self.tags if name in tag.attributes.get("class", "").split()]

    def ids(self) -> list[str]:
        """Return all ids."""
        return [tag.attributes["id"] for tag in self.tags if "id" in tag.attributes]

    def references(self) -> list[str]:
        """Return the target of everything that refers to something."""
        return [
            *(v for tag in self.tags for k, v in tag.attributes.items() if k in LOADING),
            *re.findall(r"url\(([^)]*)\)", self.html),
            *re.findall(r"@import\s*([^;]*)", self.html),
        ]
