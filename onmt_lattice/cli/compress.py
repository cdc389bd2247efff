"""``onmt_lattice compress``."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

from onmt_lattice.config import option, parse
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output, output_stream, read_bytes
from onmt_lattice.opennmt.options.commands import ModelOptions
from onmt_lattice.text import FORM, decoded_lines


@dataclass(frozen=True, kw_only=True)
class CompressOptions(ModelOptions):
    """Write the representations of a text's sentences, one a line, to a file.

    It takes about as many bits as evaluate shows; decompress decodes them to text, as near to the
    original, or to its target, as the model is good. With -lossless, which is for
    autoencoders, the text's tokens are written as well, under the decoder's probabilities, and it
    comes back byte for byte. Any model with a lattice or straight-through quantizers will do.

    example: onmt_lattice compress -model runs/my/conv64_step_500000.safetensors -src test.txt
    -output test.olz
    """

    model: str = option(..., "checkpoint of train or quantize", metavar="FILE")
    src: str = option(..., f"text, {FORM}; - is standard input", metavar="FILE")
    output: str = option(..., "file to write; - is standard output", metavar="FILE")
    lossless: bool = option(False, "keep every byte of the text, which may then be any file")
    alone: bool = option(
        False, "let each line be decoded without the others, at some seven more bytes per line"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lossless and self.alone:
            raise UserError("-alone: not with -lossless, which learns from the lines before")


def run(argv: list[str]) -> None:
    """Compress with the options in ``argv``; report the outcome on standard error."""
    options = parse("compress", CompressOptions, argv)
    check_output(options.output, "-output")
    data = read_bytes(options.src, "-src")
    made = (_lossless if options.lossless else _lossy)(options, data)
    with output_stream(options.output) as stream:
        stream.write(made.data)
    print(
        f"{made.lines} lines, {len(data)} bytes, to {len(made.data)} bytes: "
        f"{made.lines / made.seconds:.0f} lines a second{made.remark}",
        file=sys.stderr,
    )


class _Made(NamedTuple):
    """A file, the lines in it, how long it took, and what else there is to say."""

    data: bytes
    lines: int
    seconds: float
    remark: str = ""


def _lossy(options: CompressOptions, data: bytes) -> _Made:
    lines = list(decoded_lines(io.BytesIO(data), options.src))  # a mistake is told before any work

    from onmt_lattice.opennmt.inference.text_codec import load_codec

    codec = load_codec(options.model, options.gpu, options.batch_size)
    begin = time.monotonic()
    made = codec.compressed(lines, options.seed, options.alone, progress=True)
    unknown = f"; {made.unknown} of {made.tokens} tokens are unknown to it" if made.unknown else ""
    return _Made(made.data, len(lines), time.monotonic() - begin, unknown)


def _lossless(options: CompressOptions, data: bytes) -> _Made:
    from onmt_lattice.opennmt.inference.lossless_text import load_lossless

    lossless = load_lossless(options.model, options.gpu, options.batch_size)
    begin = time.monotonic()
    made = lossless.compress(data, options.seed, progress=True)
    lines = data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
    return _Made(made, lines, time.monotonic() - begin)
