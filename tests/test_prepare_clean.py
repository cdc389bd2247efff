from __future__ import annotations

import pytest

from onmt_lattice.prepare.clean import Limits, clean, fault


def words(count: int) -> str:
    return " ".join(["word"] * count)


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
def test_both_sides_keep_within_the_limits(english: str, german: str, expected: str | None) -> None:
    assert fault(words(english), words(german), Limits()) == expected


def test_a_word_beyond_a_thousand_characters_is_a_fault() -> None:
    assert fault("x" * 1000, "ein Wort", Limits()) is None
    assert fault("x" * 1001, "ein Wort", Limits()) == "long word"
    assert fault("a word", "x" * 1001, Limits()) == "long word"


def test_lengths_are_counted_in_tokens_not_in_words() -> None:
    pair = (b"(a)", b"eins zwei drei")  # three tokens
    assert clean([pair], Limits(longest=3), plain=False).english == ["( a )"]
    assert clean([pair], Limits(longest=2), plain=False).faults == {"too long": 1}


def test_pairs_stay_together_and_faults_are_counted() -> None:
    pairs = [(b"One.", b"Eins."), (b"", b"Leer."), (b"Two.", b"Zwei."), (b" \r", b" ")]
    result = clean(pairs, Limits(), plain=False)
    assert result.english == ["One .", "Two ."]
    assert result.german == ["Eins .", "Zwei ."]
    assert result.faults == {"empty": 2}
    assert result.invalid == []


def test_plain_sentences_keep_their_words_but_not_their_white_space() -> None:
    pairs = [("It's  \u2028 (done).\r".encode(), "Es ist\u00a0fertig.".encode())]
    result = clean(pairs, Limits(), plain=True)
    assert result.english == ["It's (done)."]
    assert result.german == ["Es ist fertig."]


def test_windows_line_ends_make_no_difference() -> None:
    pairs = [(b"One, two.", b"Eins, zwei.")]
    windows = [tuple(side + b"\r" for side in pair) for pair in pairs]
    assert clean(windows, Limits(), plain=False) == clean(pairs, Limits(), plain=False)


def test_bytes_that_are_not_utf8_are_replaced_and_their_pairs_counted() -> None:
    pairs = [(b"fine", b"gut"), (b"caf\xe9 au lait", b"Kaffee"), (b"tea", b"Tee\xff")]
    result = clean(pairs, Limits(), plain=False)
    assert result.english == ["fine", "caf \ufffd au lait", "tea"]
    assert result.german[2] == "Tee \ufffd"
    assert result.invalid == [1, 2]
