#!/usr/bin/env python3
"""Feed every codec with damaged and forged streams: each has to end in the right exception."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import scripting
import numpy as np
import torch
from fuzzing import Case, Rng, damaged, overwrite, run, table

from onmt_lattice.bitstream import BitstreamError, CategoricalCodec, DitherKey, LatticeCodec
from onmt_lattice.bitstream.file import FileReader, FileWriter, Section
from onmt_lattice.codes import make_code
from onmt_lattice.lattices import make_lattice

DESCRIPTION = """\
Nine streams in ten are damaged: bits and bytes changed, cut, extended, spliced with streams of the
same or another codec, parts removed, repeated or moved, or the whole exchanged for another. Such a
stream has to raise a BitstreamError, unless it came out as one that was written for this decoder.
One in ten is forged: its checksum agrees, and its contents are made up. It may decode, to something
of the right shape. A stream fails by any other exception, by decoding where it should not, and by
taking more than five seconds; the run fails by more than 512 MiB of memory on top of what it had
after the first streams. A failure prints the stream and ends with status 1.
"""
NAMES = "Z A2 A3* D4 E8 BW16 Leech conv16-24 conv9-12 conv25-12 z4conv64-12".split()
LATTICES = [("Z", "convolved_gaussian"), *((name, "discrete_gaussian") for name in NAMES)]
ENTRIES = [2, 16, 300]
KEY = DitherKey(5, (0, 1, 7))
GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
MODELS = [str(GOLDEN / name) for name in ("lattice_conv16.safetensors", "ste_vector.safetensors")]
FORGED = 0.1


@dataclass(frozen=True)
class Target:
    """A decoder and its input."""

    name: str  # of the codec
    streams: list[bytes]  # that the codec wrote, and its decoder has to take
    decode: Callable[[bytes], bool]  # whether a stream decodes to the right shape
    forge: Callable[[Rng], bytes]  # returns a stream whose checksums agree


def scrambled(payload: bytes, rng: Rng) -> bytes:
    """Return a payload that no encoder wrote, of any size."""
    choice, size = rng.integers(4), 4 * int(rng.integers(2 + len(payload) // 3))
    if choice == 0:
        return rng.bytes(size)
    if choice == 1:
        return bytes([int(rng.choice([0, 255]))]) * size
    return damaged(payload or b"\0", payload or b"\0", rng)[1]


# ---- blocks --------------------------------------------------------------------------------------


def forged_block(streams: list[bytes], rng: Rng) -> bytes:
    """Return a block with a payload or a head made up, and the checksum that goes with it."""
    head, payload = 10, streams[rng.integers(len(streams))][10:-4]
    body = streams[0][:head] + payload
    if rng.random() < 0.8:
        payload = scrambled(payload, rng)
        length, digits = len(payload), []
        while length >= 128:
            digits.append(length % 128 + 128)
            length //= 128
        body = streams[0][:9] + bytes([*digits, length]) + payload
    else:
        body = overwrite(body, body, rng)
    return body + zlib.crc32(body).to_bytes(4, "little")


def lattice_target(name: str, code: str, rng: Rng) -> Target:
    """Return the target of a code on a lattice."""
    lattice = make_lattice(name).with_second_moment(1.0)
    shape = (max(1, 24 // lattice.dim), lattice.dim)
    codec = LatticeCodec(make_code(code, lattice), torch.from_numpy(rng.normal(size=shape)))
    expected = (len(KEY.indices), *shape)
    streams = []
    for size in (1.0, 5.0, 1e4):
        x = torch.from_numpy(size * rng.standard_normal(expected)) + codec.dither(KEY)
        streams.append(codec.encode(lattice.nearest_point(x), KEY))
    return Target(
        f"{name} {code}",
        streams,
        lambda data: tuple(codec.decode(data, KEY).shape) == expected,
        lambda rng: forged_block(streams, rng),
    )


def categorical_target(entries: int, rng: Rng) -> Target:
    """Return the target of quantizers of so many entries."""
    codec = CategoricalCodec(torch.from_numpy(2 * rng.normal(size=(12, entries))))
    symbols = [torch.from_numpy(rng.integers(entries, size=(5, 12))) for _ in range(3)]
    streams = [codec.encode(each) for each in symbols]
    return Target(
        f"categorical {entries}",
        streams,
        lambda data: tuple(codec.decode(data, 5).shape) == (5, 12),
        lambda rng: forged_block(streams, rng),
    )


def block_targets(rng: Rng) -> list[Target]:
    """Return the targets of all codecs of points and symbols."""
    lattices = [lattice_target(name, code, rng) for name, code in LATTICES]
    return lattices + [categorical_target(entries, rng) for entries in ENTRIES]


# ---- files ---------------------------------------------------------------------------------------


def forged_file(streams: list[bytes], rng: Rng) -> bytes:
    """Return a file whose header or sections are made up, and the checksums that go with it."""
    file = FileReader(streams[rng.integers(len(streams))])
    header = file.header
    if rng.random() < 0.3:
        lines = max(0, header.lines + int(rng.integers(-3, 4)))
        seed = int(rng.integers(2**62)) if rng.random() < 0.5 else header.seed
        header = replace(header, seed=seed, lines=lines)
    writer = FileWriter(header)
    for number in range(min(header.blocks, file.header.blocks)):
        sections = {
            section: scrambled(payload, rng) if rng.random() < 0.4 else payload
            for section, payload in file.block(number).items()
            if rng.random() < 0.95
        }
        if rng.random() < 0.1:
            sections[int(rng.integers(12))] = rng.bytes(int(rng.integers(9)))
        writer.add(sections or {Section.POINTS: b""})
    return writer.data()


def file_targets(model: str, rng: Rng) -> list[Target]:
    """Return the targets of a model's files: lossy ones, of lines together and alone; lossless."""
    from onmt_lattice.opennmt.inference.lossless_text import LosslessText
    from onmt_lattice.opennmt.inference.text_codec import load_codec

    codec = load_codec(model)
    lossless = LosslessText(codec)
    words = codec.loaded.fields["src"].base_field.vocab.itos[4:]
    texts = [
        [" ".join(rng.choice(words, size=size)) for size in sizes]
        for sizes in ((4, 0, 9, 1), (0, 3), ())
    ]
    lossy = [codec.compress(text, 5, alone) for text in texts for alone in (False, True)]
    raw = [*("\n".join(text).encode() for text in texts), b"\xff two\r\nUnheard of\r\n"]
    whole = [lossless.compress(text, 5) for text in raw]

    def decode(data: bytes) -> bool:
        return len(codec.decompress(data, max_length=4)) == FileReader(data).header.lines

    def decode_lossless(data: bytes) -> bool:
        return lossless.decompress(data).count(b"\n") <= FileReader(data).header.lines

    name = Path(model).stem
    return [
        Target(name, lossy, decode, lambda rng: forged_file(lossy, rng)),
        Target(f"{name}, lossless", whole, decode_lossless, lambda rng: forged_file(whole, rng)),
    ]


# ---- the run -------------------------------------------------------------------------------------


def outcome(target: Target, stream: bytes, forged: bool) -> str:
    """Return how decoding ends: the name of an exception, or ``as written`` or ``decoded``.

    Raises:
        AssertionError: if it ends as it should not.
    """
    try:
        fits = target.decode(stream)
    except BitstreamError as error:
        assert type(error) is not BitstreamError and "\n" not in str(error), repr(error)
        assert stream not in target.streams, f"refused as written: {error}"
        return type(error).__name__
    if stream in target.streams:
        return "as written"
    assert forged, "accepted what no encoder wrote"
    assert fits, "decoded to another shape"
    return "decoded"


def cases(targets: list[Target], streams: int, seed: int) -> Iterator[Case]:
    """Yield damaged and forged streams, for the targets in turn."""
    rng, others = np.random.default_rng(seed), [s for t in targets for s in t.streams]
    for number in range(streams):
        target = targets[number % len(targets)]
        forged = rng.random() < FORGED
        data = target.streams[rng.integers(len(target.streams))]
        pool = others if rng.random() < 0.5 else target.streams
        other = pool[rng.integers(len(pool))]
        if forged:
            damage, stream = "forged", target.forge(rng)
        elif rng.random() < 0.1:
            damage, stream = "exchange", other
        else:
            damage, stream = damaged(data, other, rng)
        where = f"seed {seed}, {target.name}, stream {{}}".format
        yield Case(
            damage,
            partial(outcome, target, stream, forged),
            lambda where=where, stream=stream: where(stream.hex()),
        )


def main() -> None:
    """Fuzz, and print the outcomes."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-streams", type=int, default=10_000)
    parser.add_argument("-seed", type=int, default=0)
    parser.add_argument(
        "-models", nargs="*", default=MODELS, help="checkpoints whose files are fuzzed as well"
    )
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    targets = block_targets(rng)
    for model in args.models:
        targets += file_targets(model, rng)
    start = time.perf_counter()
    ends = run(cases(targets, args.streams, args.seed), first=20 * len(targets))
    seconds = time.perf_counter() - start
    print(table(ends))
    print(f"{args.streams} streams for {len(targets)} decoders in {seconds:.0f} s: all as expected")


if __name__ == "__main__":
    scripting.run(main)
