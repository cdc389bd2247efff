from __future__ import annotations

import pytest
from html_page import HtmlPage

from onmt_lattice.report.markup import Markup, details, element, joined, markup, section, table


def test_text_is_escaped_once() -> None:
    once = markup('<b> & "c"')
    assert once == "&lt;b&gt; &amp; &quot;c&quot;"
    assert markup(once) is once
    assert element("p", element("b", "1 < 2"), " & more") == "<p><b>1 &lt; 2</b> &amp; more</p>"


def test_attributes_are_escaped() -> None:
    assert element("p", title='"x" & y') == '<p title="&quot;x&quot; &amp; y"></p>'
    assert element("p", class_="note", id=None) == '<p class="note"></p>'


def test_what_joins_is_escaped_too() -> None:
    assert joined(["a", Markup("<br>")], " < ") == "a &lt; <br>"


def test_table() -> None:
    made = table(["name", "bits"], [["<Z>", 1.5], [element("i", "E8"), 2]], "lr")
    page = HtmlPage(made)
    assert [tag.attributes["class"] for tag in page.named("th")] == ["l", "r"]
    assert [tag.attributes["class"] for tag in page.named("td")] == ["l", "r"] * 2
    assert "&lt;Z&gt;" in made and "<i>E8</i>" in made
    with pytest.raises(ValueError):
        table(["name"], [["a", "b"]], "l")


def test_details_are_folded_unless_asked() -> None:
    assert details("s", "c") == "<details><summary>s</summary>c</details>"
    assert details("s", open_=True).startswith('<details open="open">')


def test_section() -> None:
    assert section("A & B", "c") == "<section><h2>A &amp; B</h2>c</section>"
