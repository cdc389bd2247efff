import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onmt_lattice.bitstream import BitstreamError
from onmt_lattice.bitstream.adaptive import AdaptiveSymbols
from onmt_lattice.bitstream.coder import Meter, Reader, Writer
from onmt_lattice.bitstream.lossless.patches import COPY, INSERT, SKIP, Patcher, operations
from onmt_lattice.bitstream.lossless.spelling import Speller

WORDS = [b"umbrella", b"umbrellas", b"horse", b"horses", b"", b"\0\xff\n", bytes(range(256)) * 9]


def test_strings_come_back_and_are_learned() -> None:
    writer, meter, speller, metered = Writer(), Meter(), Speller(WORDS[:2]), Speller(WORDS[:2])
    costs = []
    for word in WORDS * 2:
        before = meter.total
        assert speller.code(writer, word) == word
        metered.code(meter, word)
        costs.append(meter.total - before)
    reader, speller = Reader(writer.payload()), Speller(WORDS[:2])
    assert [speller.code(reader, None) for _ in WORDS * 2] == WORDS * 2
    reader.check_end()
    assert sum(costs) - 8 < 8 * len(writer.payload()) <= sum(costs) + 16
    assert costs[0] < 8 * len(WORDS[0]) / 2 < costs[2]  # what it knows beforehand, and does not
    assert all(costs[7 + i] < costs[i] for i in (2, 3, 5, 6))  # those that were new


def test_long_strings_do_not_outgrow_the_counts() -> None:
    string = b"ab" * 20000
    writer = Writer()
    Speller().code(writer, string)
    assert len(writer.payload()) < 100
    assert Speller().code(Reader(writer.payload()), None) == string


@pytest.mark.parametrize("size", [0, 4, 100])
def test_reading_a_string_ends_whatever_the_bytes(size: int) -> None:
    with pytest.raises(BitstreamError):
        reader, speller = Reader(np.random.default_rng(0).bytes(size)), Speller()
        while True:
            speller.code(reader, None)


def test_symbols_that_recur_come_to_cost_little() -> None:
    meter, symbols = Meter(), AdaptiveSymbols(2, 3)
    for _ in range(3000):
        symbols.code(meter, 0, 2)
    assert meter.total < 30
    symbols.code(meter, 1, 0)  # another context has seen nothing
    assert meter.total > 1.5
    symbols.code(meter, 0, 0)  # and what never occurred can still do so
    assert meter.total < 60


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_operations_make_the_line_of_the_guess(line: bytes, guess: bytes) -> None:
    made, at = b"", 0
    for operation, byte in operations(line, guess):
        assert operation == INSERT or guess[at] == byte
        made += b"" if operation == SKIP else bytes([byte])
        at += operation != INSERT
    assert (made, at) == (line, len(guess))


CASES = [(b"A man  rides", b"a man rides"), (b"abc\r", b"abc"), (b"", b"x"), (b"x", b"")]


def test_lines_are_brought_together_again_after_a_difference() -> None:
    for (line, guess), copied in zip(CASES, (10, 3, 0, 0), strict=True):
        told = list(operations(line, guess))
        assert sum(operation == COPY for operation, _ in told) == copied


@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=40)), max_size=5))
def test_patched_lines_come_back(pairs: list[tuple[bytes, bytes]]) -> None:
    writer, patcher = Writer(), Patcher()
    for line, guess in pairs:
        assert patcher.code(writer, guess, line) == line
    reader, patcher = Reader(writer.payload()), Patcher()
    assert [patcher.code(reader, guess, None) for _, guess in pairs] == [line for line, _ in pairs]
    reader.check_end()


def test_regular_differences_come_to_cost_little() -> None:
    meter, patcher = Meter(), Patcher()
    for i in range(300):
        before = meter.total
        guess = f"the line of number {i} .".encode()
        patcher.code(meter, guess, b"T" + guess[1:] + b"\r")
    assert meter.total - before < 1.5  # bits
