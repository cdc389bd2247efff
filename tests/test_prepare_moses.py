from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.experiments.prepare.moses import clean, tokeniser

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


@pytest.mark.parametrize(
    ("language", "line", "tokens"),
    [("en", *case) for case in ENGLISH] + [("de", *case) for case in GERMAN],
)
def test_tokens_are_those_of_moses(language: str, line: str, tokens: str) -> None:
    assert tokeniser(language)(line) == tokens


@given(
    line=st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40),
    language=st.sampled_from(["en", "de"]),
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_tokens_are_the_visible_characters_in_their_order(line: str, language: str) -> None:
    def visible(text: str) -> str:
        return re.sub(r"[\s\x00-\x1f]", "", text)

    tokens = tokeniser(language)(line)
    assert tokens.split() == (tokens.split(" ") if tokens else [])
    assert not set("<>|[]'\"") & set(tokens)
    # Every & that tokens hold begins an entity that the tokeniser wrote.
    entity = re.compile(r"&(?:amp|lt|gt|quot|apos|#124|#91|#93);")
    assert visible(entity.sub(lambda e: unescape(e.group()), tokens)) == visible(line)


# clean-corpus-n.perl


def fault(english: str, german: str, longest: int = 80) -> str | None:
    (result,) = clean([(english.encode(), german.encode())], longest)
    return result.fault


@pytest.mark.parametrize(
    ("english", "german", "expected"),
    [
        (1, 1, None),
        (80, 80, None),
        (0, 3, "empty"),
        (3, 0, "empty"),
        (81, 80, "too long"),
        (80, 81, "too long"),
        (9, 1, None),
        (10, 1, "lengths apart"),
        (1, 10, "lengths apart"),
        (8, 72, None),
        (8, 73, "lengths apart"),
    ],
)
def test_both_sides_keep_within_the_limits(english: int, german: int, expected: str | None) -> None:
    assert fault("word " * english, "Wort " * german) == expected


def test_tokens_are_counted_not_words_and_none_is_too_long() -> None:
    assert fault("(a)", "eins zwei drei", longest=3) is None
    assert fault("(a)", "eins zwei drei", longest=2) == "too long"
    assert fault("x" * 1000, "ein Wort") is None
    assert fault("x" * 1001, "ein Wort") == fault("a word", "x" * 1001) == "long word"


def test_pairs_come_back_tokenised_or_plain() -> None:
    pairs = [("It's  \u2028 (done).\r".encode(), "Es ist\u00a0fertig.".encode()), (b" \r", b" ")]
    assert clean(pairs) == [
        ("It &apos;s ( done ) .", "Es ist fertig .", None, True),
        ("", "", "empty", True),
    ]
    assert clean(pairs, plain=True) == [
        ("It's (done).", "Es ist fertig.", None, True),
        ("", "", "empty", True),
    ]


def test_bytes_that_are_not_utf8_are_replaced_and_reported() -> None:
    pairs = [("fine \ufffd".encode(), b"gut"), (b"caf\xe9 au", b"Kaffee"), (b"tea", b"Tee\xff")]
    assert [(pair.english, pair.german, pair.valid) for pair in clean(pairs)] == [
        ("fine \ufffd", "gut", True),
        ("caf \ufffd au", "Kaffee", False),
        ("tea", "Tee \ufffd", False),
    ]
