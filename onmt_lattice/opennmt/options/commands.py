"""The options of the commands that use a trained model; they can be imported without torch."""

from __future__ import annotations

from dataclasses import dataclass

from onmt_lattice.config import BEAM, COUNT, DEVICE, SEED, THREADS, Config, Range, option
from onmt_lattice.text import FORM

LEAST_SENTENCES = 100  # to fit a prior to


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Config):
    """Options of every command that runs a model."""

    seed: int = option(0, "seed of the dither and noise", range=SEED)
    batch_size: int = option(64, "sentences per batch", range=COUNT)
    gpu: int = option(-1, "CUDA device, or -1 for the CPU", range=DEVICE)


@dataclass(frozen=True, kw_only=True)
class DecodingOptions(ModelOptions):
    """Options of every command that decodes representations to text."""

    beam_size: int = option(1, "1 is greedy", range=BEAM)
    max_length: int = option(100, "longest line decoded, tokens", range=COUNT)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DecodingOptions):
    """Measure rate and NLL of a checkpoint on a text.

    The text has one sentence per line, segmented into words as the training text. All costs are in
    bits: per target token (a unit of the vocabulary, or the end of a sentence), per word of the
    text (pieces of words, marked by @@, ▁ or ￭, are joined) and per sentence. The rate is the
    length of the codeword of the real, quantized representation. With -tgt, the NLL is that of the
    target, the rate that of the source, and both are per token and word of the target, so that they
    add up; the rate is shown per token and word of the source as well.

    example: onmt_lattice evaluate -src runs/demo/text/test.en -reconstruct pred.txt -model
    runs/demo/gaussian_0.2_seed1/model_step_1500.safetensors -output gaussian.json
    """

    model: list[str] = option(..., "checkpoints, or folders of export", metavar="FILE")
    src: str = option(..., f"text to evaluate on, {FORM}", metavar="FILE")
    tgt: str | None = option(
        None,
        "the target of -src, line by line, for a model that was trained with path_tgt",
        metavar="FILE",
    )
    output: str | None = option(
        None,
        "write the numbers as JSON, for plot, to this file; for several checkpoints to files in "
        "this folder, named like the checkpoints; - is standard output",
        metavar="PATH",
    )
    reconstruct: str | None = option(
        None,
        "decode every sentence, write the text to this file (or folder) and score it against the "
        "target",
        metavar="PATH",
    )
    scores: str | None = option(
        None,
        "write NLL and rate of every sentence in bits, as tab-separated values, to this file (or "
        "folder)",
        metavar="PATH",
    )
    quantizers: int | None = option(
        None,
        "send only the symbols of the first N quantizers, for -bottleneck residual_vq",
        range=COUNT,
        metavar="N",
    )
    coded: bool = option(
        False, "compress the text as well, and show the bits of the file beside the rate"
    )
    threads: int | None = option(
        None,
        "threads of the CPU (default: OMP_NUM_THREADS, or one for each core)",
        range=THREADS,
        metavar="N",
    )


def codes() -> list[str]:
    """Return the names of the codes on a lattice."""
    from onmt_lattice.bottlenecks.lattice import AUTO
    from onmt_lattice.codes import code_names

    return [AUTO, *code_names()]


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions(Config):
    """Replace the Gaussian noise of a trained model by a lattice, without training.

    The noise becomes the lattice's dither, and its code is fitted to sentences of the training
    text. The cost over the Gaussian is printed in bits per sentence, per word and per dimension.

    example: onmt_lattice quantize -model runs/my/model_step_500000.safetensors -lattice Leech -src
    train.txt -output runs/my/leech_step_500000.safetensors
    """

    model: str = option(..., "a model trained with -bottleneck gaussian", metavar="FILE")
    lattice: str = option(
        ...,
        "one of 'onmt_lattice lattices'; with none, only the Gaussian's prior is fitted",
        metavar="NAME",
    )
    src: str = option(..., "the training text, as for train", metavar="FILE")
    output: str = option(..., "the checkpoint to write", metavar="FILE")
    lattice_code: str = option(
        "auto",
        "the code on its points, as for train: convolved_gaussian, discrete_gaussian or auto",
        codes,
        metavar="NAME",
    )
    fit_sentences: int = option(
        1500, "number of sentences to fit the code to", range=Range(LEAST_SENTENCES, COUNT.high)
    )
    seed: int = option(0, "seed of the choice of sentences and of the dither", range=SEED)
    gpu: int = option(-1, "CUDA device, or -1 for the CPU", range=DEVICE)


@dataclass(frozen=True, kw_only=True)
class VectorOptions(ModelOptions):
    """Options of encode and decode: the model, and the content of a row."""

    model: str = option(..., "a checkpoint", metavar="FILE")
    points: bool = option(
        False,
        "rows are the integer coordinates of lattice points in their bases, or the entries that "
        "straight-through quantizers chose (int64)",
        exclusive="row_type",
    )
    continuous: bool = option(
        False, "rows are X, the input of the bottleneck (float32)", exclusive="row_type"
    )

    @property
    def row_type(self) -> str:
        """The content of a row: ``points``, ``continuous`` or ``quantized``."""
        return "points" if self.points else "continuous" if self.continuous else "quantized"


@dataclass(frozen=True, kw_only=True)
class EncodeOptions(VectorOptions):
    """Write the representation of every sentence of a text as a row of an array.

    The array is in NumPy's .npy format. A row is the quantized representation that the decoder
    gets (float32), unless an option says otherwise. The rows are in the order of the lines; the row
    of an empty line is NaN, or -2^63 in points.

    example: onmt_lattice encode -src runs/demo/text/test.en -output vectors.npy -model
    runs/demo/gaussian_0.2_seed1/model_step_1500.safetensors
    """

    src: str = option(..., f"text, {FORM}; - is standard input", metavar="FILE")
    output: str = option(..., "the array to write; - is standard output", metavar="FILE")


@dataclass(frozen=True, kw_only=True)
class DecodeOptions(VectorOptions, DecodingOptions):
    """Decode the rows of an array, as encode writes them or computed from such, to text.

    Points need the seed and the row numbers of encode, which determine the dither; X is quantized
    first. A row of NaN, or of -2^63 in points, becomes an empty line.

    example: onmt_lattice decode -input vectors.npy -output text.out -model
    runs/demo/gaussian_0.2_seed1/model_step_1500.safetensors
    """

    input: str = option(..., "the array, .npy; - is standard input", metavar="FILE")
    output: str = option(..., "the text to write; - is standard output", metavar="FILE")
