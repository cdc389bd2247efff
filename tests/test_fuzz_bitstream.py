"""Damaged and forged streams of every codec end in the right exception; more of them by hand."""

from __future__ import annotations

import runpy
from pathlib import Path

import fuzzing
import numpy as np
import pytest

from onmt_lattice.bitstream import BitstreamError, DamagedBitstream

FUZZ = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "fuzz_bitstream.py"))


def test_all_end_as_they_should(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fuzz_bitstream.py", "-streams", "10000", "-seed", "1"])
    FUZZ["main"]()
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("10000 streams for ") and last.endswith("all as expected")


def test_a_decoder_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to fail, by a decoder made for it."""

    def raises(error: Exception) -> object:
        def decode(data: bytes) -> bool:
            raise error

        return decode

    def slow(data: bytes) -> bool:
        while True:
            pass

    cases, target = FUZZ["cases"], FUZZ["Target"]
    monkeypatch.setattr(fuzzing, "SECONDS", 1)
    for decode, said in (
        (lambda data: True, "accepted what no encoder wrote"),
        (raises(DamagedBitstream("as ever")), "refused as written"),
        (raises(BitstreamError("base")), "BitstreamError"),
        (raises(DamagedBitstream("two\nlines")), "two"),
        (raises(ValueError("a bug")), "a bug"),
        (slow, "more than 1 seconds"),
    ):
        made = target("made", [b"a stream that was written"], decode, lambda rng: b"forged")
        with pytest.raises(SystemExit, match=said):
            fuzzing.run(cases([made], 200, 0), first=20)


def test_forged_streams_reach_the_symbols() -> None:
    """Their checksums agree: what refuses them is the decoding itself, and some decode."""
    rng = np.random.default_rng(0)
    for targets in (FUZZ["block_targets"](rng), FUZZ["file_targets"](FUZZ["MODELS"][0], rng)):
        ends = {FUZZ["outcome"](t, t.forge(rng), True) for t in targets for _ in range(60)}
        assert {"DamagedBitstream", "decoded"} <= ends
