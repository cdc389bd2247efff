"""A page of HTML taken apart, refused where it is not well-formed, and opened in Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

VOID = {"meta", "br", "hr", "img", "link", "input"}
LOADING = {"src", "href", "xlink:href", "srcset", "data", "poster", "action"}


class Tag(NamedTuple):
    """A start tag."""

    name: str
    attributes: dict[str, str]


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
        self.rows: list[list[str]] = []
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
            self.rows[-1].append("")
        self.tags.append(Tag(tag, attributes))
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
                self.rows[-1][-1] += data

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


NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium keeps to itself what it could not load, and what does not fit: said to the console.
PROBE = """<script>
addEventListener("error", e => {
  if (e.target !== window) console.error("not loaded: " + (e.target.src || e.target.href));
}, true);
addEventListener("load", () => {
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) console.error("wider than the window: " + width);
});
</script>"""


class Opened(NamedTuple):
    """A page as Chromium has it: its exit status, its console's messages and the DOM as HTML."""

    status: int
    console: list[str]
    dom: str


def browser() -> str | None:
    """Return the path of Chromium, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def opened(page: Path, width: int = 1200) -> Opened:
    """Open ``page`` in a window of ``width`` pixels and return what came of it."""
    path = browser()
    assert path is not None
    probed = page.with_name(f"probed_{page.name}")
    html = page.read_text(encoding="utf-8")
    assert "<head>" in html
    probed.write_text(html.replace("<head>", f"<head>{PROBE}", 1), encoding="utf-8")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    words += [f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},900"]
    words += ["--enable-logging=stderr", "--v=0", "--dump-dom", probed.resolve().as_uri()]
    done = subprocess.run(
        [path, *words], capture_output=True, encoding="utf-8", errors="replace", timeout=120
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(done.returncode, console, done.stdout)
