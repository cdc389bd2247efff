"""Texts in archives, and the tokens of Moses."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections.abc import Callable, Mapping
from html import unescape
from pathlib import Path

import miniature
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare.moses import clean, tokeniser
from onmt_lattice.experiments.prepare.texts import (
    count_lines,
    decode_entities,
    in_order,
    read_lines,
    read_sentences,
    shuffled,
)

Archive = Callable[[Mapping[str, bytes | tarfile.TarInfo]], Path]

TEXT = b"one\ntwo \r\nth\rree \xe2\x80\xa8 four\n\nlast, without a line feed"
SGM = """\
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


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    def write(members: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
        path = tmp_path / "a.tgz"
        path.write_bytes(miniature.tgz(members))
        return path

    return write


def test_lines_end_at_line_feeds_only(archive: Archive, tmp_path: Path) -> None:
    path = archive({"other": b"x\n", "./a/text": TEXT})
    lines = TEXT.split(b"\n")
    assert list(read_lines(path, "a/text")) == lines
    assert count_lines(path, ["a/text", "other"]) == {"a/text": 5, "other": 1}
    assert list(read_sentences(path, "a/text")) == [line.decode() for line in lines]
    assert list(tmp_path.iterdir()) == [path]  # nothing is unpacked
    (tmp_path / "text").write_bytes(TEXT)
    assert list(in_order([tmp_path / "text"])) == [line.decode() for line in lines]


def test_a_text_that_is_missing_or_not_a_plain_file_is_named(archive: Archive) -> None:
    device = tarfile.TarInfo("a/text")
    device.type = tarfile.CHRTYPE
    for header in (miniature.link("a/text", "/etc/passwd"), device, tarfile.TarInfo("b")):
        path = archive({header.name: header, "other": TEXT})
        assert count_lines(path, ["other"]) == {"other": 5}
        with pytest.raises(UserError, match="has no file a/text; is it the right archive"):
            count_lines(path, ["other", "a/text"])


def test_what_is_not_a_whole_archive_is_refused(archive: Archive, tmp_path: Path) -> None:
    path = archive({"text": b"".join(b"%d\n" % (i * i) for i in range(20_000))})
    whole = path.read_bytes()
    contents = {
        **{whole[: int(share * len(whole))]: r"not a whole \.tgz" for share in (0, 0.1, 0.5, 0.99)},
        whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]: "CRC",
        b"<html>not found</html>": r"not a whole \.tgz archive .* get it again",
        gzip.compress(b"not a tar file"): r"not a whole \.tgz",
    }
    for content, reason in contents.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=reason):
            count_lines(path, ["text"])
    with pytest.raises(UserError, match="cannot be read: No such file"):
        count_lines(tmp_path / "none.tgz", ["text"])


def test_each_segment_of_sgm_is_a_sentence(archive: Archive) -> None:
    path = archive({"news.sgm": SGM.encode()})
    sentences = ["One & two.", "Many spaces", "Same line.", "Over two lines.", ""]
    assert list(read_sentences(path, "news.sgm")) == sentences


def test_entities_are_decoded_once() -> None:
    for text, decoded in (
        ("R&amp;D &lt;b&gt; &quot;x&quot; &APOS;y&apos; &#8211; &#X41;", "R&D <b> \"x\" 'y' – A"),
        ("&amp;lt; AT&T; &copy; &amp &unknown;", "&lt; AT&T; &copy; &amp &unknown;"),
    ):
        assert decode_entities(text) == decoded


def test_a_sentence_to_measure_on_that_is_not_utf8_is_refused(archive: Archive) -> None:
    path = archive({"news": b"fine\ncaf\xe9\n"})
    with pytest.raises(UserError, match=r"a\.tgz: news: not UTF-8 text .* in line 2"):
        list(read_sentences(path, "news"))


def test_a_shuffle_is_a_permutation_that_the_seed_decides(tmp_path: Path) -> None:
    paths = [tmp_path / "a.en", tmp_path / "b.en", tmp_path / "empty.en"]
    for path, count in zip(paths, (300, 200, 0), strict=True):
        path.write_text("".join(f"{path.name} {i}\n" for i in range(count)))
    first = list(shuffled(paths, 1))
    assert sorted(first) == sorted(in_order(paths))
    assert first != list(in_order(paths))
    assert first == list(shuffled(paths, 1)) != list(shuffled(paths, 2))
    assert list(shuffled(paths[2:], 1)) == []


# What tokenizer.perl -q -l en of mosesdecoder (master, 2019 and after) prints under Perl 5.36.
MOSES = json.loads((Path(__file__).parent / "golden/moses.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("language", "line", "tokens"), MOSES)
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


def fault(english: str, german: str, longest: int = 80) -> str | None:
    (result,) = clean([(english.encode(), german.encode())], longest)
    return result.fault


def test_both_sides_keep_within_the_limits() -> None:
    for english, german, expected in (
        *((80, 80, None), (0, 3, "empty"), (3, 0, "empty")),
        *((81, 80, "too long"), (80, 81, "too long"), (9, 1, None), (8, 72, None)),
        *((10, 1, "lengths apart"), (1, 10, "lengths apart"), (8, 73, "lengths apart")),
    ):
        assert fault("word " * english, "Wort " * german) == expected


def test_tokens_are_counted_not_words_and_none_is_too_long() -> None:
    assert fault("(a)", "eins zwei drei", longest=3) is None
    assert fault("(a)", "eins zwei drei", longest=2) == "too long"
    assert fault("x" * 1000, "ein Wort") is None
    assert fault("x" * 1001, "ein Wort") == fault("a word", "x" * 1001) == "long word"


def test_pairs_come_back_tokenised_or_plain() -> None:
    pairs = [("It's  \u2028 (done).\r".encode(), "Es ist\u00a0fertig.".encode())]
    assert clean(pairs) == [("It &apos;s ( done ) .", "Es ist fertig .", None, True)]
    assert clean(pairs, plain=True) == [("It's (done).", "Es ist fertig.", None, True)]


def test_bytes_that_are_not_utf8_are_replaced_and_reported() -> None:
    pairs = [("fine \ufffd".encode(), b"gut"), (b"caf\xe9 au", b"Kaffee"), (b"tea", b"Tee\xff")]
    assert [(pair.english, pair.german, pair.valid) for pair in clean(pairs)] == [
        ("fine \ufffd", "gut", True),
        ("caf \ufffd au", "Kaffee", False),
        ("tea", "Tee \ufffd", False),
    ]
