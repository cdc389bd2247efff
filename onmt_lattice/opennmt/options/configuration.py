"""The door where options become objects, and what they must be for that."""

from __future__ import annotations

import dataclasses
import math
from argparse import Namespace
from typing import Any

from onmt_lattice.bottlenecks import Bottleneck, bottleneck_class
from onmt_lattice.config import from_options
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.options.parsers import ENCODER_TYPE, bottleneck_options
from onmt_lattice.opennmt.options.schedules import RateWeight

# Every option that would let the decoder see more than the bottleneck's output, or that would
# make the reported NLL something else than a code length: the one value allowed, and why.
SINGLE_PATH: dict[str, tuple[Any, str]] = {
    "encoder_type": (ENCODER_TYPE, "the encoder that ends in the bottleneck"),
    "decoder_type": ("rnn", "other decoders read the encoder's outputs past the bottleneck"),
    "model_task": ("seq2seq", "a language model has no encoder"),
    "global_attention": ("none", "attention reads the encoder's outputs past the bottleneck"),
    "copy_attn": (False, "copying reads the source past the bottleneck"),
    "coverage_attn": (False, "coverage needs attention, a second path"),
    "context_gate": (None, "the context gate mixes in attention, a second path"),
    "input_feed": (0, "input feeding needs attention, a second path"),
    "lambda_align": (0.0, "alignment needs attention, a second path"),
    "lambda_coverage": (0.0, "coverage needs attention, a second path"),
    "generator_function": ("softmax", "the NLL is a code length only under a softmax"),
    "label_smoothing": (0.0, "a smoothed loss is no code length"),
    "src_feats_vocab": (None, "features of words would reach the encoder, and never be paid for"),
    "truncated_decoder": (0, "truncation would encode, and pay for, a sentence several times"),
}


def representation_dim(opt: Namespace) -> int:
    """Return m, how many numbers X holds."""
    states = 2 if opt.rnn_type == "LSTM" else 1
    layers = 1 if opt.bottleneck_site == "top" else opt.enc_layers
    return opt.enc_rnn_size * layers * states


def make_bottleneck_from_opt(opt: Namespace, input_dim: int) -> Bottleneck:
    """Return the bottleneck that ``opt`` asks for, checking that it has every option given."""
    cls = bottleneck_class(opt.bottleneck)
    for name, options in bottleneck_options().items():
        value = getattr(opt, name, None)
        if value is not None and opt.bottleneck not in options:
            raise UserError(
                f"-{name} {value}: -bottleneck {opt.bottleneck} has no such option "
                f"(it belongs to {', '.join(options)}); leave it out"
            )
    return cls(input_dim, from_options(cls.Config, opt))


def bottleneck_settings(opt: Namespace) -> dict[str, Any]:
    """Return the bottleneck's site and every option of its own, defaults filled in."""
    settings = from_options(bottleneck_class(opt.bottleneck).Config, opt)
    return {"bottleneck_site": opt.bottleneck_site, **dataclasses.asdict(settings)}


def bottleneck_label(opt: Namespace) -> str:
    """Return what tables and plots call the bottleneck, such as ``lattice E8``."""
    return bottleneck_class(opt.bottleneck).label(bottleneck_settings(opt))


def check_single_path(opt: Namespace) -> None:
    """Refuse any option that opens a second path from encoder to decoder.

    Raises:
        UserError: naming the option, its value, the value required, and why.
    """
    for name, (required, why) in SINGLE_PATH.items():
        value = getattr(opt, name, required)
        if value != required and (value or required):
            raise UserError(f"-{name} {value}: must be {required} here, as {why}")
    if opt.rnn_type == "SRU":
        raise UserError("-rnn_type SRU: expected GRU or LSTM, which run on every device")


def check_plain(opt: Namespace) -> None:
    """Refuse options that are not made of plain values, which is all that a checkpoint holds.

    Raises:
        UserError: naming the option.
    """
    for name, value in vars(opt).items():
        if not _is_plain(sorted(value, key=str) if isinstance(value, set) else value):
            raise UserError(
                f"-{name} {str(value)[:200]}: expected text, numbers, and lists or dictionaries of "
                f"these, as a checkpoint keeps nothing else"
            )


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | None) or (isinstance(value, int) and abs(value) < 2**63)


def check_shapes(opt: Namespace) -> None:
    """Refuse encoder and decoder shapes that do not fit, before any data is read."""
    check_sizes(opt)
    make_bottleneck_from_opt(opt, representation_dim(opt))
    from_options(RateWeight, opt)


def check_sizes(opt: Namespace) -> None:
    """Refuse sizes of encoder and decoder that do not fit each other."""
    if opt.share_embeddings and not opt.share_vocab:
        raise UserError("-share_embeddings: expected one vocabulary; leave -tgt_vocab out")
    if opt.share_decoder_embeddings and opt.tgt_word_vec_size != opt.dec_rnn_size:
        raise UserError(
            f"-share_decoder_embeddings: expected word vectors as large as the decoder's state, "
            f"got {opt.tgt_word_vec_size} and {opt.dec_rnn_size}"
        )
    if opt.enc_rnn_size % 2:
        raise UserError(
            f"-enc_rnn_size {opt.enc_rnn_size}: expected an even number, two directions"
        )
    if opt.bottleneck_site == "all" and opt.enc_layers != opt.dec_layers:
        raise UserError(
            f"-bottleneck_site all: expected as many decoder layers as encoder layers, "
            f"got {opt.dec_layers} and {opt.enc_layers}"
        )
