"""``onmt_lattice decompress``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from onmt_lattice.config import COUNT, option, parse
from onmt_lattice.errors import BitstreamError, UserError, error_prefix
from onmt_lattice.files import check_output, output_stream, read_bytes
from onmt_lattice.opennmt.options.commands import DecodingOptions


@dataclass(frozen=True, kw_only=True)
class DecompressOptions(DecodingOptions):
    """Decode a file of compress to text, with the model that compressed it.

    A file of compress -lossless gives every byte back. Otherwise an empty line stays empty, and
    every line ends with a line feed.

    example: onmt_lattice decompress -model runs/my/conv64_step_500000.safetensors -input test.olz
    -output test.out
    """

    model: str = option(..., "the checkpoint given to compress", metavar="FILE")
    input: str = option(..., "file of compress; - is standard input", metavar="FILE")
    output: str = option(..., "text to write; - is standard output", metavar="FILE")
    line: int | None = option(
        None,
        "decode only this line, from 1; fast for files of compress -alone",
        range=COUNT,
        metavar="N",
    )


def run(argv: list[str]) -> None:
    """Decompress with the options in ``argv``; report the outcome on standard error."""
    options = parse("decompress", DecompressOptions, argv)
    check_output(options.output, "-output")
    data = read_bytes(options.input, "-input")

    from onmt_lattice.bitstream.file import FileReader, Mode

    with error_prefix(f"-input {options.input}", BitstreamError):
        mode = FileReader(data).header.mode
        if mode == Mode.VECTORS:
            raise UserError(
                f"-input {options.input}: a file of vectors; decode it with 'onmt_lattice unpack'"
            )
        blocks = (_lossless if mode == Mode.LOSSLESS else _lossy)(options, data)
        begin, count = time.monotonic(), 0
        with output_stream(options.output) as stream:
            for block in blocks:
                stream.write(block)
                count += block.count(b"\n")
    rate = count / (time.monotonic() - begin)
    print(f"{len(data)} bytes to {count} lines: {rate:.0f} lines a second", file=sys.stderr)


def _lossy(options: DecompressOptions, data: bytes) -> Iterator[bytes]:
    """Return the decoded lines in blocks."""
    from onmt_lattice.opennmt.inference.text_codec import load_codec

    codec = load_codec(options.model, options.gpu, options.batch_size)
    search = options.beam_size, options.max_length
    if options.line is None:
        blocks = codec.decompressed(data, *search, progress=True)
    else:
        blocks = iter([[codec.decompress_line(data, options.line - 1, *search)]])
    return ("".join(f"{line}\n" for line in lines).encode() for lines in blocks)


def _lossless(options: DecompressOptions, data: bytes) -> Iterator[bytes]:
    """Return the text in blocks."""
    if options.line is not None:
        raise UserError(f"-line {options.line}: a lossless file is decoded whole; leave it out")

    from onmt_lattice.opennmt.inference.lossless_text import load_lossless

    codec = load_lossless(options.model, options.gpu, options.batch_size)
    return codec.decompressed(data, progress=True)
