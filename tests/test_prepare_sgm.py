from __future__ import annotations

import pytest

from onmt_lattice.prepare.sgm import decode_entities, segments

FILE = """\
<refset setid="newstest2014-deen" srclang="any" trglang="en">
<doc sysid="ref" docid="a" genre="news" origlang="en">
<p>
<seg id="1">One &amp; two.</seg>
<seg id="2"> Many   spaces </seg><seg id="3">Same line.</seg>
</p>
<SEG id="4">Over
two lines.</SEG>
<seg id="5"></seg>
<segment>none</segment>
</doc>
</refset>
"""


def test_each_segment_is_a_line() -> None:
    assert list(segments(FILE.splitlines())) == [
        "One & two.",
        "Many spaces",
        "Same line.",
        "Over two lines.",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("R&amp;D &lt;b&gt; &quot;x&quot; &apos;y&apos;", "R&D <b> \"x\" 'y'"),
        ("&#8211; &#x2014; &#X41;", "– — A"),
        ("&amp;lt; stays once decoded", "&lt; stays once decoded"),
        ("AT&T, R & D; &copy; &amp &unknown;", "AT&T, R & D; &copy; &amp &unknown;"),
        ("&#0; &#55296; &#1114112;", "&#0; &#55296; &#1114112;"),
    ],
)
def test_entities_are_decoded_once(text: str, decoded: str) -> None:
    assert decode_entities(text) == decoded
