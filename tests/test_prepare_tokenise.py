from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.prepare.tokenise import tokeniser

# What tokenizer.perl -q -l en of mosesdecoder (master, 2019 and after) prints under Perl 5.36.
ENGLISH = [
    ('He said, "It\'s done."', "He said , &quot; It &apos;s done . &quot;"),
    (
        "'Tis the season', she wrote; the boys' toys aren't here.",
        "&apos;Tis the season &apos; , she wrote ; the boys &apos; toys aren &apos;t here .",
    ),
    (
        "“Curly quotes” and ‘single’ ones — with dashes…",
        "“ Curly quotes ” and ‘ single ’ ones — with dashes …",
    ),
    (
        "They called it the \"so-called 'expert' view\".",
        "They called it the &quot; so-called &apos; expert &apos; view &quot; .",
    ),
    (
        "\"Stop!\" he cried. 'Why?' she asked.",
        "&quot; Stop ! &quot; he cried . &apos; Why ? &apos; she asked .",
    ),
    ("`backtick' and ``double''", "`backtick &apos; and ``double &apos; &apos;"),
    ("The famine.'", "The famine . &apos;"),
    ("“Don’t,” he said.", "“ Don ’ t , ” he said ."),
    (
        "I'm, you're, he'd've; rock 'n' roll; O'Brien's 5's",
        "I &apos;m , you &apos;re , he &apos;d&apos;ve ; rock &apos; n &apos; roll ; "
        "O &apos;Brien &apos;s 5 &apos;s",
    ),
    (
        "It cost $1,234.56, not €1.000,50 or £5.",
        "It cost $ 1,234.56 , not € 1.000,50 or £ 5 .",
    ),
    ("In the 1990's, 3,5 and 7 per cent,", "In the 1990 &apos;s , 3,5 and 7 per cent ,"),
    ("A,B,C and 1,2,3,x", "A , B , C and 1,2,3 , x"),
    ("Chapter 4,section 2, 10,000,000 people", "Chapter 4 , section 2 , 10,000,000 people"),
    (
        "a well-known e-mail, 2004-2005 and --dashes--",
        "a well-known e-mail , 2004-2005 and --dashes--",
    ),
    (
        "the 16:9 screen at 10:30, km/h & C++ 100%",
        "the 16 : 9 screen at 10 : 30 , km / h &amp; C + + 100 %",
    ),
    (
        "Mr. Smith met Dr. Jones at 5 p.m. in St. Louis.",
        "Mr. Smith met Dr. Jones at 5 p.m. in St. Louis .",
    ),
    ("The U.S. and the U.K. signed in the U.S.", "The U.S. and the U.K. signed in the U.S ."),
    (
        "See No. 5, Art. 3 and pp. 7 but say No. Never.",
        "See No. 5 , Art. 3 and pp. 7 but say No . Never .",
    ),
    ("e.g. this, i.e. that, etc. and so on etc.", "e.g. this , i.e. that , etc. and so on etc ."),
    (
        "Items such as J. S. Bach, Jan. 5, vs. others v. the state.",
        "Items such as J. S. Bach , Jan. 5 , vs. others v. the state .",
    ),
    ("This is the end of the line vs.", "This is the end of the line vs ."),
    ("He left. then came back. Then left.", "He left. then came back . Then left ."),
    ("Wait... what?.. No....", "Wait ... what ? .. No ...."),
    (
        "R&D <b>bold</b> a|b [x] {y} @home #tag",
        "R &amp; D &lt; b &gt; bold &lt; / b &gt; a &#124; b &#91; x &#93; { y } @ home # tag",
    ),
    ("AT&amp;T &#39;x&#39;", "AT &amp; amp ; T &amp; # 39 ; x &amp; # 39 ;"),
    (
        "http://www.example.com/a_b?c=d user@host.org",
        "http : / / www.example.com / a _ b ? c = d user @ host.org",
    ),
    ("naïve café Straße 10 °C m² ½ № 5", "naïve café Straße 10 ° C m ² ½ № 5"),
    ("中国 is China, 日本's too", "中国 is China , 日本 &apos;s too"),
    ("  two  spaces\tand a tab\r", "two spaces and a tab"),
    ("a\x1cb\x07c\xa0d\u2028e", "abc d e"),
    (" \t ", ""),
]
GERMAN = [
    (
        "Das ist z.B. der 3. Oktober 1990, d.h. ein Feiertag.",
        "Das ist z.B. der 3. Oktober 1990 , d.h. ein Feiertag .",
    ),
    (
        'Er sagte: "Wie geht\'s?" und ging.',
        "Er sagte : &quot; Wie geht &apos; s ? &quot; und ging .",
    ),
    (
        "Am 1. Mai um 10.30 Uhr kostet es 5,5 Mio. Euro.",
        "Am 1. Mai um 10.30 Uhr kostet es 5,5 Mio. Euro .",
    ),
    (
        "Die EU-Kommission (Brüssel) u.a. Dr. Müller usw.",
        "Die EU-Kommission ( Brüssel ) u.a. Dr. Müller usw .",
    ),
]


@pytest.mark.parametrize(("line", "tokens"), ENGLISH)
def test_english_is_tokenised_as_moses_does(line: str, tokens: str) -> None:
    assert tokeniser("en")(line) == tokens


@pytest.mark.parametrize(("line", "tokens"), GERMAN)
def test_german_is_tokenised_as_moses_does(line: str, tokens: str) -> None:
    assert tokeniser("de")(line) == tokens


lines = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40)


@given(line=lines, language=st.sampled_from(["en", "de"]))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_tokens_are_parted_by_single_spaces_and_hold_no_special_character(
    line: str, language: str
) -> None:
    tokens = tokeniser(language)(line)
    assert tokens.split() == (tokens.split(" ") if tokens else [])
    assert not set("<>|[]'\"") & set(tokens)


@given(line=lines, language=st.sampled_from(["en", "de"]))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_every_visible_character_stays_in_its_place(line: str, language: str) -> None:
    def visible(text: str) -> str:
        return re.sub(r"[\s\x00-\x1f]", "", text)

    # Every & that tokens hold begins an entity that the tokeniser wrote.
    entity = re.compile(r"&(?:amp|lt|gt|quot|apos|#124|#91|#93);")
    tokens = tokeniser(language)(line)
    assert visible(entity.sub(lambda e: unescape(e.group()), tokens)) == visible(line)
