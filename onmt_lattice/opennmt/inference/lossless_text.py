"""Lossless compression of text with a trained autoencoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from onmt.transforms import TransformPipe
from torch import Tensor, nn
from tqdm import tqdm

from onmt_lattice.bitstream import DamagedBitstream, DitherKey
from onmt_lattice.bitstream.exact import Floats
from onmt_lattice.bitstream.file import FileReader, FileWriter, Header, Mode, Section
from onmt_lattice.bitstream.lossless.decoder import Affine, Layer, RecurrentDecoder
from onmt_lattice.bitstream.lossless.lines import RAW, Line, LosslessCodec, Sections, Vocabulary
from onmt_lattice.errors import UserError, error_prefix
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder
from onmt_lattice.opennmt.data.corpora import is_autoencoder
from onmt_lattice.opennmt.data.sentences import Sentence, segmented, token_index, undo
from onmt_lattice.opennmt.inference.text_codec import BLOCK_BITS, TextCodec, load_codec
from onmt_lattice.text import word_count

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of an RNN's layer
CHECKSUM = 4  # bytes
REQUIRED = {Section.POINTS, Section.TOKENS, Section.ESCAPES, Section.TEXT}


class LosslessText:
    """Compresses any bytes: the symbols of their lines, and the lines given the symbols.

    >>> lossless = LosslessText(TextCodec(load_autoencoder("model.safetensors")))  # doctest: +SKIP
    >>> lossless.decompress(lossless.compress(b"a man rides a horse"))  # doctest: +SKIP

    Raises:
        UserError: if the model is not an autoencoder, or its decoder has no exact arithmetic.
    """

    def __init__(self, codec: TextCodec) -> None:
        if not is_autoencoder(codec.loaded.opt.data):
            raise UserError(
                "lossless coding is for autoencoders: this model's decoder predicts another text "
                "than the compressed one; expected a model trained without path_tgt"
            )
        self.codec = codec
        self._model = token_model(codec.loaded)
        self._vocabulary = vocabulary(codec.loaded)

    def lines(self) -> LosslessCodec:
        """Return a new codec of lines."""
        return LosslessCodec(Pipeline(self.codec.pipe), self._vocabulary, self._model)

    def compress(self, data: bytes, seed: int = 0, progress: bool = False) -> bytes:
        """Return a file of the bytes ``data``; ``seed``, of the dither, is from 0 to 2⁶³ − 1."""
        content = data.split(b"\n")
        ended = content[-1] == b""
        content = content[:-1] if ended else content
        header = self._header(data, len(content), seed)
        writer, lines = FileWriter(header), self.lines()
        with tqdm(total=len(content), unit="line", desc="compressing", disable=not progress) as bar:
            for number in range(header.blocks):
                span = header.span(number)
                sections = self._sections(lines, content[span.start : span.stop], span, seed)
                if not ended and number == header.blocks - 1:
                    sections[Section.UNENDED] = b""
                writer.add(sections)
                bar.update(len(span))
        return writer.data()

    def decompress(self, data: bytes) -> bytes:
        """Return the bytes in the file ``data``; see :meth:`decompressed`."""
        return b"".join(self.decompressed(data))

    def decompressed(self, data: bytes, progress: bool = False) -> Iterator[bytes]:
        """Yield the text of each block of the file ``data``, after a check of all of it.

        Raises:
            BitstreamError: if it is not a complete and unaltered lossless file of this model.
        """
        file, lines = self.codec.opened(data, Mode.LOSSLESS), self.lines()
        total, last = file.header.lines, file.header.blocks - 1
        with tqdm(total=total, unit="line", desc="decompressing", disable=not progress) as bar:
            for number in range(file.header.blocks):
                sections = file.block(number)
                ended = number < last or Section.UNENDED not in sections
                block = self._lines(lines, file, number)
                yield b"\n".join(block) + (b"\n" if ended and block else b"")
                bar.update(len(block))

    def values(
        self, lines: Sequence[Line], indices: Sequence[int], seed: int
    ) -> tuple[bytes, Floats]:
        """Return the coded symbols of ``lines``, and the decoder's inputs ``(N, dim)``."""
        representation = self.codec.codec
        if not lines:
            return b"", np.zeros((0, 0))
        ids = token_index(self.codec.loaded)
        sentences = [
            Sentence(index, line.tokens, [ids[t] for t in line.tokens], 0)
            for index, line in zip(indices, lines, strict=True)
        ]
        key = DitherKey(seed, tuple(indices))
        symbols = representation.quantize(self.codec.scorer.represent(sentences), key)
        return representation.write(symbols, key), representation.values(symbols, key).numpy()

    def _header(self, data: bytes, lines: int, seed: int) -> Header:
        text = data.decode("utf-8", "replace")
        return Header(
            fingerprint=self.codec.fingerprint,
            mode=Mode.LOSSLESS,
            block_bits=BLOCK_BITS,
            seed=seed,
            lines=lines,
            words=sum(map(word_count, text.split("\n"))),
            characters=len(text),
        )

    def _sections(
        self, lines: LosslessCodec, content: Sequence[bytes], span: range, seed: int
    ) -> dict[Section, bytes]:
        planned = lines.plan(content)
        modelled = [offset for offset, line in enumerate(planned) if line.kind != RAW]
        indices = [span[offset] for offset in modelled]
        points, values = self.values([planned[offset] for offset in modelled], indices, seed)
        coded = lines.encode(planned, values)
        return {
            Section.POINTS: points,
            Section.TOKENS: coded.tokens,
            Section.ESCAPES: coded.escapes,
            Section.TEXT: coded.checksum.to_bytes(CHECKSUM, "little"),
        }

    def _lines(self, lines: LosslessCodec, file: FileReader, number: int) -> list[bytes]:
        """Return the lines of a block of a file."""
        span, sections = file.header.span(number), file.block(number)
        if not REQUIRED <= set(sections) <= REQUIRED | {Section.UNENDED}:
            raise DamagedBitstream(
                f"a lossless block of sections {sorted(sections)}: expected {sorted(REQUIRED)}"
            )
        checksum = int.from_bytes(sections[Section.TEXT], "little")
        coded = Sections(sections[Section.ESCAPES], sections[Section.TOKENS], checksum)
        points, representation = sections[Section.POINTS], self.codec.codec

        def values(offsets: list[int]) -> Floats:
            if not offsets:
                if points:
                    raise DamagedBitstream("points of no line: expected none")
                return np.zeros((0, 0))
            key = DitherKey(file.header.seed, tuple(span[offset] for offset in offsets))
            return representation.values(representation.read(points, key), key).numpy()

        return lines.decode(coded, len(span), values)


def load_lossless(path: str, gpu: int = -1, batch_size: int = 64) -> LosslessText:
    """Return the lossless codec of the checkpoint at ``path``."""
    codec = load_codec(path, gpu, batch_size)
    with error_prefix(f"-model {path}"):
        return LosslessText(codec)


# ---- the decoder as a model of tokens, the same on any machine -----------------------------------


def token_model(loaded: LoadedAutoencoder) -> RecurrentDecoder:
    """Return the decoder, from the input of ``map_out`` on, in exact arithmetic."""
    model = loaded.model
    if model.decoder.attentional:
        raise UserError(
            "the model's decoder attends to slots, but lossless coding has exact arithmetic only "
            "for RNN decoders without attention; compress without -lossless, or train one"
        )
    if loaded.opt.position_encoding:
        raise UserError("-position_encoding: not possible in lossless coding; train without it")
    rnn = model.decoder.rnn
    parameters = {name: _numbers(value) for name, value in rnn.named_parameters()}
    layers = [
        Layer(*(parameters[f"{name}_l{i}"] for name in PARAMETERS)) for i in range(rnn.num_layers)
    ]
    embeddings = _numbers(model.decoder.embeddings.word_lut.weight)
    first = model.encoder.bottleneck.map_out
    return RecurrentDecoder(
        embeddings,
        layers,
        _affine(model.generator[0]),
        _affine(first) if isinstance(first, nn.Linear) else None,
    )


def vocabulary(loaded: LoadedAutoencoder) -> Vocabulary:
    """Return the tokens that the decoder knows."""
    field = loaded.fields["tgt"].base_field
    marks = (field.unk_token, field.init_token, field.eos_token, field.pad_token)
    return Vocabulary(field.vocab.itos, *(field.vocab.stoi[mark] for mark in marks))


class Pipeline:
    """A :class:`~onmt_lattice.bitstream.lossless.lines.Segmentation` by the model's transforms."""

    def __init__(self, pipe: TransformPipe) -> None:
        self.pipe = pipe

    def tokens(self, line: str) -> list[str]:
        """Return the tokens of ``line``, or none."""
        return segmented(line.split(), self.pipe)

    def text(self, tokens: list[str]) -> str:
        """Return the line of ``tokens``."""
        return undo(self.pipe, " ".join(tokens))


def _affine(linear: nn.Linear) -> Affine:
    return Affine(_numbers(linear.weight), _numbers(linear.bias))


def _numbers(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().double().cpu().numpy())
