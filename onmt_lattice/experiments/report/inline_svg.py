"""A matplotlib figure as SVG inside an HTML page, with the values of its points on hover."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from io import BytesIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import matplotlib
from matplotlib.figure import Figure

SHAPE = ("d", "clip-path")
HIT_RADIUS = 5  # of the circle around a point in which the mouse hits it, in points
DROPPED = ("metadata", "style")  # a style inside an inline SVG would rule the whole page
COLOUR = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})\b")
REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(figure: Figure, prefix: str, label: str, titles: Mapping[str, str]) -> str:
    """Return ``figure`` as an ``<svg>`` element for HTML.

    ``prefix`` goes before every id, so that the figures of one page share none; ``label`` says what
    the figure shows; ``titles`` are shown while the mouse is at the artist of that gid.

    Text stays text, in the font of the page. Greys become mixtures of the page's ``--paper`` and
    ``--ink``, so that they turn round with a dark colour scheme; other colours are themselves by
    its share ``--vivid``, the rest ``--ink``.
    """
    svg = _svg(figure, prefix)
    elements = {e.get("id", ""): e for e in svg.iter()}
    for gid, title in titles.items():
        _on_hover(elements[gid], title)
    for element in svg.iter():
        _prefix_ids(element, prefix)
        if "style" in element.attrib:
            element.set("style", COLOUR.sub(_mixture, element.attrib["style"]))
    attributes = f'class="figure" role="img" aria-label="{escape(label)}"'
    inside = "".join(ElementTree.tostring(child, encoding="unicode") for child in svg)
    return f'<svg {attributes} viewBox="{svg.get("viewBox")}">{inside}</svg>'


def _svg(figure: Figure, salt: str) -> Element:
    """Return the figure as SVG without namespaces, as HTML has it; the same ids at every call."""
    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(key): value for key, value in element.attrib.items()}
        for child in list(element):
            if _local(child.tag) in DROPPED:
                element.remove(child)
    return root


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _on_hover(group: Element, title: str) -> None:
    """Show ``title`` near the markers of ``group``, or along its line where it has none.

    It is clipped as the artist is.
    """
    group.set("class", "hover")
    markers = [(holder, use) for holder in group.findall("g") for use in holder.findall("use")]
    for holder, use in markers:
        centre = {"cx": use.get("x", ""), "cy": use.get("y", "")}
        SubElement(holder, "circle", {"class": "hit", **centre, "r": str(HIT_RADIUS)})
    for path in [] if markers else group.findall("path"):
        shape: dict[str, str] = {k: v for k, v in path.attrib.items() if k in SHAPE}
        SubElement(group, "path", {"class": "hit line", **shape})
    element = Element("title")
    element.text = title
    group.insert(0, element)


def _prefix_ids(element: Element, prefix: str) -> None:
    for key, value in element.attrib.items():
        if key == "id":
            element.set(key, f"{prefix}-{value}")
        elif key == "href" and value.startswith("#"):
            element.set(key, f"#{prefix}-{value[1:]}")
        else:
            element.set(key, REFERENCE.sub(rf"url(#{prefix}-\1)", value))


def _mixture(colour: re.Match[str]) -> str:
    red, green, blue = (int(part, 16) for part in colour.groups())
    if red == green == blue:
        return f"color-mix(in srgb, var(--paper) {red / 2.55:.4g}%, var(--ink))"
    return f"color-mix(in srgb, {colour[0]} var(--vivid), var(--ink))"
