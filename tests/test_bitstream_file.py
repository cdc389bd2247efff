"""Files of many blocks, and damaged and forged streams of every kind."""

from __future__ import annotations

import runpy
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import Capture

from onmt_lattice.bitstream import BitstreamError, DamagedBitstream, NotABitstream
from onmt_lattice.bitstream.file import FileReader, FileWriter, Header, Mode, Section, section_name
from onmt_lattice.bitstream.varint import pack_empty_lines, pack_number, read_empty_lines

HEADER = Header(b"\xde\xad\xbe\xef", Mode.LOSSY, 2, 7, 10, 100, 600)
BLOCKS: list[dict[Section, bytes]] = [
    {Section.POINTS: bytes(range(200))},
    {Section.POINTS: b"", Section.EMPTY: b"\0\0\0\0"},
    {Section.POINTS: b"abcd"},
]


def packed(header: Header, blocks: list[dict[Section, bytes]]) -> bytes:
    writer = FileWriter(header)
    for block in blocks:
        writer.add(block)
    return writer.data()


def closed(file: bytes) -> bytes:
    """Return ``file``, of one block, with the checksum that belongs behind it."""
    return file + zlib.crc32(file).to_bytes(4, "little")


DATA = packed(HEADER, BLOCKS)


def test_a_file_comes_back() -> None:
    file = FileReader(DATA)
    assert file.header == HEADER
    assert [file.block(i) for i in range(file.header.blocks)] == BLOCKS
    assert [list(HEADER.span(i)) for i in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_every_bit_is_counted() -> None:
    file = FileReader(DATA)
    assert sum(file.bits().values()) == 8 * len(DATA)
    assert file.bits()["points"] == 8 * 204
    assert file.bits()["empty"] == 8 * 4
    assert file.bits()["checksums"] == 8 * 12
    assert str(8 * len(DATA)) in file.table()
    assert "model deadbeef" in file.table()


def test_what_holds_a_thousand_sentences_is_small() -> None:
    header = Header(b"1234", Mode.LOSSY, 12, 0, 1000, 13000, 63000)
    assert len(packed(header, [{Section.POINTS: bytes(8000)}])) - 8000 <= 24


def test_every_flipped_bit_is_told() -> None:
    for at in range(len(DATA)):
        for bit in range(8):
            changed = bytearray(DATA)
            changed[at] ^= 1 << bit
            with pytest.raises(BitstreamError):
                FileReader(bytes(changed))


def test_what_is_wrong_is_told_apart() -> None:
    for wrong in (b"", b"\x1f\x8b and so on", b"a man rides a horse"):
        with pytest.raises(NotABitstream, match="expected what compress or pack writes"):
            FileReader(wrong)
    with pytest.raises(NotABitstream, match="version 9"):
        FileReader(DATA[:3] + b"\x09" + DATA[4:])
    with pytest.raises(NotABitstream, match="mode 15"):
        FileReader(DATA[:8] + b"\xf2" + DATA[9:])
    with pytest.raises(DamagedBitstream, match="3 bytes after"):
        FileReader(DATA + b"abc")
    with pytest.raises(DamagedBitstream, match="block 1"):
        FileReader(DATA[:30] + b"?" + DATA[31:])


def test_blocks_cannot_change_places_or_files() -> None:
    header = Header(b"1234", Mode.LOSSY, 0, 0, 2, 2, 2)
    other = Header(b"1234", Mode.LOSSY, 0, 1, 2, 2, 2)
    contents: list[dict[Section, bytes]] = [{Section.POINTS: bytes([i])} for i in range(2)]
    begin, size = len(header.pack()), 7

    def blocks(data: bytes) -> list[bytes]:
        return [data[begin : begin + size], data[begin + size :]]

    one, two = blocks(packed(header, contents))
    foreign, changed = packed(other, contents), packed(header, contents[::-1])
    FileReader(header.pack() + one + two)
    for wrong in (
        *([two, one], [one, one], [one, blocks(foreign)[1]], [blocks(foreign)[0], two]),
        *([one, blocks(changed)[1]], [blocks(changed)[0], two]),
    ):
        with pytest.raises(DamagedBitstream):
            FileReader(header.pack() + b"".join(wrong))


def test_a_kind_of_a_later_release_is_shown_by_its_number() -> None:
    header = Header(b"1234", Mode.LOSSY, 12, 0, 1, 1, 1)
    body = pack_number(2 * 99 + 1) + pack_number(3) + b"abc"
    file = FileReader(closed(header.pack() + body))
    assert file.bits()["section 99"] == 24
    assert section_name(Section.POINTS) == "points"


@pytest.mark.parametrize("lines", [10**9, 2**60, 2**62])
@pytest.mark.parametrize("block_bits", [0, 12, 15])
def test_what_a_file_declares_sets_nothing_aside(lines: int, block_bits: int) -> None:
    header = Header(b"1234", Mode.LOSSY, block_bits, 0, lines, lines, lines)
    tracemalloc.start()
    with pytest.raises(DamagedBitstream, match="lacks"):
        FileReader(packed(header, [{Section.POINTS: b""}] * 10))
    length = pack_number(2 * Section.POINTS + 1) + pack_number(2**60)
    with pytest.raises(DamagedBitstream, match="lacks"):
        FileReader(Header(b"1234", Mode.LOSSY, 12, 0, 1, 1, 1).pack() + length + bytes(9))
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


@pytest.mark.parametrize("places", [[], [0], [5], [0, 1, 2], [3, 200, 201, 4000]])
def test_empty_lines_come_back(places: list[int]) -> None:
    assert read_empty_lines(pack_empty_lines(places), 4096) == places


def test_an_empty_line_beyond_the_block_is_refused() -> None:
    data = pack_empty_lines([3, 7])
    assert read_empty_lines(data, 8) == [3, 7]
    with pytest.raises(DamagedBitstream, match="an empty line 8 of 7"):
        read_empty_lines(data, 7)
    with pytest.raises(DamagedBitstream):
        read_empty_lines(data + b"\xff", 8)


FUZZ = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "fuzz_bitstream.py"))


def test_all_end_as_they_should(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("sys.argv", ["fuzz_bitstream.py", "-streams", "4000", "-seed", "1"])
    FUZZ["main"]()
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("4000 streams for ") and last.endswith("all as expected")


def test_forged_streams_reach_the_symbols() -> None:
    """Their checksums agree: what refuses them is the decoding itself, and some decode."""
    rng = np.random.default_rng(0)
    for targets in (FUZZ["block_targets"](rng), FUZZ["file_targets"](FUZZ["MODELS"][0], rng)):
        ends = {FUZZ["outcome"](t, t.forge(rng), True) for t in targets for _ in range(60)}
        assert {"DamagedBitstream", "decoded"} <= ends
