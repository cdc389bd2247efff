from __future__ import annotations

import re

import pytest
from html_page import HtmlPage
from matplotlib.figure import Figure

from onmt_lattice.experiments.report.inline_svg import HIT_RADIUS, inline_svg

TITLES = {"point-a": "first\n2 < 3 & 4", "point-b": "second", "course": "a line"}


def drawing() -> Figure:
    """Two points of the same marker, one of another artist, a clipped line and text."""
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.plot([1, 2, 3], [2, 1, 5], color="#0072B2", gid="course")
    axes.plot([1], [2], marker="o", color="#0072B2", linestyle="none", gid="point-a")
    axes.scatter([2], [1], color="0.5", gid="point-b")
    axes.set_xlabel("λ < 1 (bits)")
    return figure


def page(*svgs: str) -> HtmlPage:
    return HtmlPage(f"<html><body>{''.join(svgs)}</body></html>")


@pytest.fixture(scope="module")
def svg() -> str:
    return inline_svg(drawing(), "one", 'what it "shows"', TITLES)


def test_it_is_an_image_with_a_label(svg: str) -> None:
    root = page(svg).named("svg")[0].attributes
    assert root["role"] == "img" and root["aria-label"] == 'what it "shows"'
    assert root["viewbox"] == "0 0 288 216"  # 4 by 3 inches; attributes are read in small letters
    assert "width" not in root and "viewBox=" in svg


def test_titles_belong_to_their_artists(svg: str) -> None:
    titles = page(svg).titles
    assert titles == {f"one-{gid}": title for gid, title in TITLES.items()}


def test_the_hit_area_lies_around_the_marker(svg: str) -> None:
    """The circle has the place of the marker, whatever kind of artist drew it."""
    for gid in ("point-a", "point-b"):
        group = re.search(rf'<g id="one-{gid}".*?<circle [^>]*>', svg, re.DOTALL)
        assert group is not None
        use = re.search(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', group[0])
        circle = re.search(r'<circle class="hit" cx="([\d.]+)" cy="([\d.]+)" r="(\d+)"', group[0])
        assert use is not None and circle is not None
        assert circle.groups() == (*use.groups(), str(HIT_RADIUS))


def test_a_line_is_hit_along_itself(svg: str) -> None:
    group = svg[svg.index('id="one-course"') :]
    drawn, hit = re.findall(r'<path [^>]*?\bd="([^"]+)"', group)[:2]
    assert drawn == hit
    assert 'class="hit line"' in group[: group.index("</g>")]


def test_no_title_for_nothing() -> None:
    with pytest.raises(ValueError, match="'point-c'"):
        inline_svg(drawing(), "one", "", {"point-c": "absent"})


def test_nothing_of_it_rules_the_page(svg: str) -> None:
    found = page(svg)
    assert not found.named("style") and not found.named("metadata")
    assert "http" not in svg and "xmlns" not in svg


def test_colours_follow_the_scheme_of_the_page(svg: str) -> None:
    """Black is ink, white is paper, grey between them; colours are themselves and some ink."""
    assert "color-mix(in srgb, var(--paper) 0%, var(--ink))" in svg
    assert "color-mix(in srgb, var(--paper) 100%, var(--ink))" in svg
    assert "color-mix(in srgb, var(--paper) 50.2%, var(--ink))" in svg  # 128 / 255
    assert "color-mix(in srgb, #0072b2 var(--vivid), var(--ink))" in svg
    assert not re.search(r"(fill|stroke): #", svg)
