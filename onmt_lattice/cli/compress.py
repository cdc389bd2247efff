"""``onmt_lattice compress``."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass

from onmt_lattice.config import option, parse
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output, output_stream, read_bytes
from onmt_lattice.opennmt.options.commands import ModelOptions
from onmt_lattice.text import FORM, decoded_lines


@dataclass(frozen=True, kw_only=True)
class CompressOptions(ModelOptions):
    """Write the representations of the sentences of a text, one per line, to a file.

    The file takes about as many bits as evaluate shows. decompress decodes it to a text that is as
    close to the original, or to its target, as the model allows. With -lossless, for autoencoders,
    the tokens are coded as well, by the decoder's probabilities, and the text comes back byte for
    byte. The model needs a bottleneck with a lattice or with quantizers.

    example: onmt_lattice compress -model runs/my/conv64_step_500000.safetensors -src test.txt
    -output test.olz
    """

    model: str = option(..., "checkpoint of train or quantize", metavar="FILE")
    src: str = option(..., f"text, {FORM}; - is standard input", metavar="FILE")
    output: str = option(..., "file to write; - is standard output", metavar="FILE")
    lossless: bool = option(False, "keep every byte of the text, which may be any file")
    alone: bool = option(
        False, "make each line decodable by itself, for about seven more bytes per line"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lossless and self.alone:
            raise UserError("-alone: not with -lossless, which learns from earlier lines")


def run(argv: list[str]) -> None:
    """Compress with the options in ``argv``; report the outcome on standard error."""
    options = parse("compress", CompressOptions, argv)
    check_output(options.output, "-output")
    text = read_bytes(options.src, "-src")
    data, lines, seconds, note = (_lossless if options.lossless else _lossy)(options, text)
    with output_stream(options.output) as stream:
        stream.write(data)
    print(
        f"{lines} lines, {len(text)} bytes, to {len(data)} bytes: "
        f"{lines / seconds:.0f} lines a second{note}",
        file=sys.stderr,
    )


def _lossy(options: CompressOptions, text: bytes) -> tuple[bytes, int, float, str]:
    """Return the compressed file, the number of lines, the seconds it took, and a note."""
    lines = list(decoded_lines(io.BytesIO(text), options.src))  # checked before any work

    from onmt_lattice.opennmt.inference.text_codec import load_codec

    codec = load_codec(options.model, options.gpu, options.batch_size)
    begin = time.monotonic()
    file = codec.compressed(lines, options.seed, options.alone, progress=True)
    note = f"; {file.unknown} of {file.tokens} tokens are unknown to the model" * bool(file.unknown)
    return file.data, len(lines), time.monotonic() - begin, note


def _lossless(options: CompressOptions, text: bytes) -> tuple[bytes, int, float, str]:
    """Return what :func:`_lossy` returns."""
    from onmt_lattice.opennmt.inference.lossless_text import load_lossless

    codec = load_lossless(options.model, options.gpu, options.batch_size)
    begin = time.monotonic()
    data = codec.compress(text, options.seed, progress=True)
    lines = text.count(b"\n") + (text[-1:] not in (b"", b"\n"))
    return data, lines, time.monotonic() - begin, ""
