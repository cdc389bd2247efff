"""Decoding sentences from their quantized representation, greedily or by OpenNMT-py's search."""

from __future__ import annotations

import io
import os
from argparse import Namespace
from itertools import takewhile
from typing import Any

import onmt.translate
import torch
from onmt.transforms import TransformPipe
from onmt.translate.translator import Translator
from onmt.utils.logging import init_logger, logger
from onmt.utils.parse import ArgumentParser
from torch import Tensor

from onmt_lattice.config import check_ranges, real_file, same_file
from onmt_lattice.errors import UserError
from onmt_lattice.files import STANDARD, check_output, write_lines
from onmt_lattice.opennmt.checkpoint.loading import LoadedAutoencoder, load_autoencoder
from onmt_lattice.opennmt.data.sentences import (
    Sentence,
    read_sentences,
    token_index,
    trained_transforms,
    undo,
)
from onmt_lattice.opennmt.inference.greedy import greedy
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.model.devices import matmul_precision
from onmt_lattice.opennmt.options.parsers import translate_parser
from onmt_lattice.opennmt.options.parsing import parse
from onmt_lattice.opennmt.options.ranges import TRANSLATION
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.text import no_sentence, read_lines


class Reconstructor(Translator):
    """OpenNMT-py's translator, decoding from the bottleneck's ``outputs`` ``(N, m)``."""

    outputs: Tensor

    def _run_encoder(self, batch: Any) -> tuple[Tensor, Any, Tensor, Tensor]:
        src, lengths = batch.src
        outputs = self.outputs[batch.indices.cpu()].to(src.device)
        state, memory, _ = self.model.encoder.for_decoder(outputs)
        return memory, state, memory, lengths  # of the source, for -ratio

    def _decode_and_generate(
        self,
        decoder_in: Tensor,
        memory_bank: Tensor,
        batch: Any,
        src_vocabs: Any,
        memory_lengths: Tensor,
        **options: Any,
    ) -> tuple[Tensor, Tensor | None]:
        lengths = torch.full_like(memory_lengths, len(memory_bank))
        return super()._decode_and_generate(
            decoder_in, memory_bank, batch, src_vocabs, lengths, **options
        )


def reconstruct(
    loaded: LoadedAutoencoder,
    sentences: list[Sentence],
    outputs: Tensor,
    pipe: TransformPipe,
    opt: Namespace,
) -> list[list[str]]:
    """Return the ``n_best`` lines decoded from the bottleneck's ``outputs`` ``(N, m)``.

    They are as OpenNMT-py writes them, without the segmentation of ``pipe``. Of a sentence only the
    number of tokens is used. For a plain greedy search, :func:`greedy` decodes the same lines in
    less time.
    """
    is_greedy = all(getattr(opt, name) == value for name, value in GREEDY.items())
    search = _decode_greedily if is_greedy else _search
    with torch.inference_mode(), matmul_precision("highest"):
        lines = search(loaded, sentences, outputs, opt)
    n = opt.n_best
    return [
        [undo(pipe, line) for line in lines[i * n : (i + 1) * n]] for i in range(len(sentences))
    ]


# Options that make a search more than greedy, and the values that turn them off.
GREEDY = {
    "beam_size": 1,
    "min_length": 0,
    "ratio": 0.0,
    "block_ngram_repeat": 0,
    "ban_unk_token": False,
    "random_sampling_topk": 0,
    "random_sampling_topp": 0.0,
    "with_score": False,
    "verbose": False,
    "report_time": False,
}


def _decode_greedily(
    loaded: LoadedAutoencoder, sentences: list[Sentence], outputs: Tensor, opt: Namespace
) -> list[str]:
    field = loaded.fields["tgt"].base_field
    tokens, index = field.vocab.itos, field.vocab.stoi
    begin, end = index[field.init_token], index[field.eos_token]
    decoded = greedy(loaded.model, outputs, begin, end, opt.max_length)
    return [" ".join(tokens[i] for i in takewhile(end.__ne__, words)) for words in decoded]


def _search(
    loaded: LoadedAutoencoder, sentences: list[Sentence], outputs: Tensor, opt: Namespace
) -> list[str]:
    scorer = onmt.translate.GNMTGlobalScorer.from_opt(opt)
    device = next(loaded.model.parameters()).device
    opt.gpu = (device.index or 0) if device.type == "cuda" else -1
    with io.StringIO() as out:
        translator = Reconstructor.from_opt(
            loaded.model, loaded.fields, opt, loaded.opt, scorer, out, report_score=False
        )
        translator.outputs = outputs
        torch.manual_seed(opt.seed)  # for sampling; OpenNMT-py ignores a seed of 0
        source = [" ".join(sentence.tokens).encode() for sentence in sentences]
        translator.translate(src=source, batch_size=opt.batch_size, batch_type=opt.batch_type)
        return out.getvalue().split("\n")[:-1]


ENCODER_BATCH_SIZE = 64  # sentences
REFUSED = """src_feats tgt tgt_prefix report_align attn_debug align_debug replace_unk phrase_table
dump_beam avg_raw_probs stepwise_penalty""".split()


def check_options(opt: Namespace) -> None:
    """Refuse options that a model with a bottleneck cannot have."""
    if len(opt.models) != 1:
        raise UserError(f"-model {' '.join(opt.models)}: expected one checkpoint, not an ensemble")
    check_ranges(vars(opt), TRANSLATION)
    if opt.n_best > opt.beam_size:
        raise UserError(f"-n_best {opt.n_best}: expected at most -beam_size, {opt.beam_size}")
    if opt.min_length > opt.max_length:
        raise UserError(
            f"-min_length {opt.min_length}: expected at most -max_length, {opt.max_length}"
        )
    for name, required in (("data_type", "text"), ("coverage_penalty", "none"), ("int8", False)):
        if getattr(opt, name) != required:
            raise UserError(f"-{name} {getattr(opt, name)}: must be {required} here")
    for name in REFUSED:
        if getattr(opt, name, None):
            raise UserError(
                f"-{name}: not possible here: a sentence is decoded from its representation "
                f"alone, without the words of its source or a second input"
            )
    ArgumentParser.validate_translate_opts(opt)


def search_options(beam_size: int, max_length: int, batch_size: int) -> Namespace:
    """Return the options of ``translate`` for :func:`reconstruct`."""
    opt = parse(translate_parser, ["-model", "", "-src", ""])
    opt.beam_size, opt.max_length, opt.batch_size = beam_size, max_length, batch_size
    return opt


def translate(argv: list[str]) -> None:
    """Run ``onmt_lattice translate`` with the options in ``argv``.

    A line of the output is empty if the source line is, or if the transforms leave nothing of it.
    """
    opt = parse(translate_parser, argv)
    plugin.install()
    check_options(opt)
    for name, path in (("model", opt.models[0]), ("src", opt.src)):
        if opt.output != STANDARD and os.path.realpath(opt.output) == real_file(path, name):
            raise same_file("output", opt.output, name)
    check_output(opt.output, "-output")
    init_logger(opt.log_file)
    lines = read_lines(opt.src)
    loaded = load_autoencoder(opt.models[0], opt.gpu)
    pipe = trained_transforms(loaded)
    sentences = read_sentences(lines, pipe, token_index(loaded))
    if not sentences:
        raise no_sentence(opt.src)
    scorer = Scorer(loaded, opt.seed, ENCODER_BATCH_SIZE)
    output = [[""] * opt.n_best for _ in lines]
    for start in range(0, len(sentences), opt.shard_size or len(sentences)):
        shard = sentences[start : start + (opt.shard_size or len(sentences))]
        logger.info("Decoding lines %d to %d", shard[0].index + 1, shard[-1].index + 1)
        decoded = reconstruct(loaded, shard, scorer.encode(shard), pipe, opt)
        for sentence, best in zip(shard, decoded, strict=True):
            output[sentence.index] = best
    write_lines(opt.output, (line for best in output for line in best))
    logger.info("%d lines written to %s", len(output), opt.output)
