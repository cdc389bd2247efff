"""From text to bytes and back with a trained autoencoder."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tqdm import tqdm

from onmt_lattice.bitstream import DamagedBitstream, DitherKey, WrongCode
from onmt_lattice.bitstream.file import FINGERPRINT, FileReader, FileWriter, Header, Mode, Section
from onmt_lattice.bitstream.representation import RepresentationCodec, representation_codec
from onmt_lattice.bitstream.varint import pack_empty_lines, read_empty_lines
from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.opennmt.checkpoint.contents import embedded_files
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder, load_autoencoder
from onmt_lattice.opennmt.data.sentences import (
    Sentence,
    read_sentences,
    token_index,
    trained_transforms,
    transform_names,
)
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.inference.search import reconstruct, search_options
from onmt_lattice.opennmt.options.configuration import has_attention, has_slots
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.text import word_count

BLOCK_BITS = 12  # log2 of the lines in a block


class Compressed(NamedTuple):
    """A compressed text.

    Attributes:
        data: the file.
        rate_nats: the ideal length of its symbols, by the model's rate; 0 if it was not computed.
        tokens, unknown: number of tokens, and of those outside the vocabulary.
    """

    data: bytes
    rate_nats: float
    tokens: int
    unknown: int


class TextCodec:
    """Compresses sentences with an autoencoder whose representation has a code.

    Only the representation is coded; decompression returns what the decoder makes of it.

    >>> codec = TextCodec(load_autoencoder("model.safetensors"))  # doctest: +SKIP
    >>> codec.decompress(codec.compress(["a man rides a horse", ""]))  # doctest: +SKIP

    Attributes:
        codec: of the representation.
        fingerprint: of all that decoding needs.

    Raises:
        UserError: if the model's bottleneck has no code.
    """

    def __init__(self, loaded: LoadedAutoencoder, batch_size: int = 64) -> None:
        self.loaded, self.batch_size = loaded, batch_size
        self.codec = representation_codec(loaded.model.encoder.bottleneck)
        self.pipe = trained_transforms(loaded)
        self.scorer = Scorer(loaded, 0, batch_size)
        self.fingerprint = model_fingerprint(loaded, self.codec)
        self._index = token_index(loaded)

    def read(self, lines: Sequence[str], first: int = 0) -> list[Sentence]:
        """Return the sentences of ``lines``, the first with line number ``first``."""
        return read_sentences(lines, self.pipe, self._index, first)

    def compress(self, sentences: Sequence[str], seed: int = 0, alone: bool = False) -> bytes:
        """Return ``sentences`` as the bytes of a file; see :meth:`compressed`."""
        return self.compressed(sentences, seed, alone).data

    def decompress(self, data: bytes, beam_size: int = 1, max_length: int = 100) -> list[str]:
        """Return the sentences of the file ``data``; see :meth:`decompressed`."""
        blocks = self.decompressed(data, beam_size, max_length)
        return [sentence for block in blocks for sentence in block]

    def compressed(
        self,
        lines: Sequence[str],
        seed: int = 0,
        alone: bool = False,
        progress: bool = False,
        with_rate: bool = False,
    ) -> Compressed:
        """Return ``lines`` as a file.

        Args:
            lines: without line feeds; a line without words, or of which the model's transforms
                leave nothing, comes back empty.
            seed: of the dither, from 0 to 2⁶³ − 1.
            alone: make each line decodable by itself, for about seven more bytes per line.
            progress: show a progress bar.
            with_rate: compute the rate, with kernels that coding does not need.
        """
        header = self._header(lines, seed, alone)
        writer, rate, tokens = FileWriter(header), 0.0, Counter[bool]()
        with tqdm(total=len(lines), unit="line", desc="compressing", disable=not progress) as bar:
            for number in range(header.blocks):
                span = header.span(number)
                part = self.read(lines[span.start : span.stop], span.start)
                sections, nats = self._sections(part, span, seed, with_rate)
                writer.add(sections)
                rate += nats
                tokens.update(token in self._index for line in part for token in line.tokens)
                bar.update(len(span))
        return Compressed(writer.data(), rate, tokens.total(), tokens[False])

    def decompressed(
        self, data: bytes, beam_size: int = 1, max_length: int = 100, progress: bool = False
    ) -> Iterator[list[str]]:
        """Yield the lines of each block of the file ``data``, after a check of all of it.

        Args:
            data: all bytes of the file.
            beam_size: 1 is greedy.
            max_length: longest line decoded, in tokens.
            progress: show a progress bar.

        Raises:
            BitstreamError: if it is not a complete and unaltered file of this model.
        """
        file, search = self.opened(data), search_options(beam_size, max_length, self.batch_size)
        total = file.header.lines
        with tqdm(total=total, unit="line", desc="decompressing", disable=not progress) as bar:
            for number in range(file.header.blocks):
                yield self._lines(file, number, search)
                bar.update(len(file.header.span(number)))

    def decompress_line(
        self, data: bytes, line: int, beam_size: int = 1, max_length: int = 100
    ) -> str:
        """Return line ``line``, from 0, of the file ``data``; only its block is decoded."""
        file = self.opened(data)
        if not 0 <= line < file.header.lines:
            raise UserError(
                f"-line {line + 1}: expected 1 to {file.header.lines}, lines of the file"
            )
        number = line >> file.header.block_bits
        lines = self._lines(file, number, search_options(beam_size, max_length, self.batch_size))
        return lines[line - file.header.span(number).start]

    def opened(self, data: bytes, mode: Mode = Mode.LOSSY) -> FileReader:
        """Return the file ``data``, checked; see :meth:`decompressed`."""
        file = FileReader(data)
        if file.header.mode != mode:
            raise DamagedBitstream(
                f"a {file.header.mode.name.lower()} file: expected one that is {mode.name.lower()}"
            )
        if file.header.fingerprint != self.fingerprint:
            raise WrongCode(
                f"a file of the model {file.header.fingerprint.hex()}, this is "
                f"{self.fingerprint.hex()}: expected the checkpoint that it was compressed with"
            )
        return file

    def _header(self, lines: Sequence[str], seed: int, alone: bool) -> Header:
        for number, line in enumerate(lines):
            if "\n" in line:
                raise UserError(f"sentence {number + 1} has a line feed in it: expected one line")
        return Header(
            fingerprint=self.fingerprint,
            mode=Mode.LOSSY,
            block_bits=0 if alone else BLOCK_BITS,
            seed=seed,
            lines=len(lines),
            words=sum(map(word_count, lines)),
            characters=sum(len(line) + 1 for line in lines),
        )

    def _sections(
        self, sentences: list[Sentence], span: range, seed: int, with_rate: bool
    ) -> tuple[dict[Section, bytes], float]:
        """Return the sections of the block of lines ``span``, and their rate in nats."""
        indices = [sentence.index for sentence in sentences]
        empty = sorted(set(span) - set(indices))
        sections = {Section.POINTS: b""}
        if empty:
            sections[Section.EMPTY] = pack_empty_lines([index - span.start for index in empty])
        if not sentences:
            return sections, 0.0
        key = DitherKey(seed, tuple(indices))
        symbols = self.codec.quantize(self.scorer.represent(sentences), key)
        sections[Section.POINTS] = self.codec.write(symbols, key)
        return sections, float(self.codec.rate_nats(symbols, key).sum()) if with_rate else 0.0

    def _lines(self, file: FileReader, number: int, search: Namespace) -> list[str]:
        """Return the lines of a block of a file."""
        span, sections = file.header.span(number), file.block(number)
        unknown = set(sections) - set(Section)
        if unknown or Section.POINTS not in sections:
            raise DamagedBitstream(
                f"a block with sections {sorted(sections)}: expected those that this release writes"
            )
        empty = set(read_empty_lines(sections.get(Section.EMPTY, b""), len(span)))
        indices = [index for offset, index in enumerate(span) if offset not in empty]
        key = DitherKey(file.header.seed, tuple(indices))
        symbols = self.codec.read(sections[Section.POINTS], key)
        lines = dict.fromkeys(span, "")
        if indices:
            source = [Sentence(index, ["-"], [], 0) for index in indices]  # search needs a token
            output = self.codec.output(symbols, key)
            best = reconstruct(self.loaded, source, output, self.pipe, search)
            lines |= {index: line[0] for index, line in zip(indices, best, strict=True)}
        return list(lines.values())


def load_codec(path: str, gpu: int = -1, batch_size: int = 64) -> TextCodec:
    """Return the codec of the checkpoint at ``path``."""
    plugin.install()
    loaded = load_autoencoder(path, gpu)
    with error_prefix(f"-model {path}"):
        return TextCodec(loaded, batch_size)


SEGMENTATION_OPTIONS = """src_subword_type src_onmttok_kwargs tgt_subword_type
tgt_onmttok_kwargs""".split()
RNN_OPTIONS = ("rnn_type", "bottleneck_site")
ATTENTION_OPTIONS = """encoder_type decoder_type heads global_attention global_attention_function
position_encoding max_relative_positions self_attn_type pos_ffn_activation_fn""".split()


def model_fingerprint(loaded: LoadedAutoencoder, codec: RepresentationCodec) -> bytes:
    """Return a hash of every tensor, both vocabularies, the segmentation and the ``codec``.

    It does not depend on the device, on paths of files or on the training. Two models have the same
    fingerprint with probability 2⁻³².
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(_values(loaded, codec), sort_keys=True).encode())
    for name, content in sorted(embedded_files(loaded.opt).items()):
        digest.update(f"{name} {len(content)}".encode() + bytes(content.tolist()))
    for name, tensor in sorted(loaded.model.state_dict().items()):
        exact = tensor.detach().cpu().contiguous()
        exact = exact.float() if exact.is_floating_point() else exact
        digest.update(f"{name} {tuple(exact.shape)}".encode())
        digest.update(exact.numpy().astype(exact.numpy().dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:FINGERPRINT]


def _values(loaded: LoadedAutoencoder, codec: RepresentationCodec) -> dict[str, object]:
    """Return all but the tensors that determine what a file decodes to."""
    opt = loaded.opt
    names = [*RNN_OPTIONS, *SEGMENTATION_OPTIONS]
    vocabularies = {side: loaded.fields[side].base_field.vocab.itos for side in ("src", "tgt")}
    if has_slots(opt) or has_attention(opt):
        names += ATTENTION_OPTIONS
    options = {name: str(getattr(opt, name, None)) for name in names}
    transforms = transform_names(loaded)
    return {"codec": codec.fingerprint, "transforms": transforms, **options, **vocabularies}
