"""Build bottlenecks from options, and check the options of a model."""

from __future__ import annotations

import dataclasses
import math
from argparse import Namespace
from typing import Any

from onmt.utils.parse import ArgumentParser

from onmt_lattice.bottlenecks import Bottleneck, bottleneck_class
from onmt_lattice.config import check_ranges, from_options
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.options.parsers import BRNN, TRANSFORMER, bottleneck_options, train_parser
from onmt_lattice.opennmt.options.ranges import RANGES

# Options that could let the decoder see more than the bottleneck's output, or make the NLL not a
# code length: the allowed values, and why. Attention is allowed: it reads nothing else.
SINGLE_PATH: dict[str, tuple[tuple[Any, ...], str]] = {
    "encoder_type": ((BRNN, TRANSFORMER), "these encoders end in the bottleneck"),
    "decoder_type": (("rnn", "transformer"), "these decoders read the bottleneck's output alone"),
    "model_task": (("seq2seq",), "a language model has no encoder"),
    "copy_attn": ((False,), "copying reads the source past the bottleneck"),
    "coverage_attn": ((False,), "coverage is of the source's words, which no decoder sees"),
    "context_gate": ((None,), "it weighs the source's words, which no decoder sees"),
    "input_feed": ((0,), "with input feeding OpenNMT-py has another decoder, word by word"),
    "lambda_align": ((0.0,), "alignment is to the source's words, which no decoder sees"),
    "lambda_coverage": ((0.0,), "coverage is of the source's words, which no decoder sees"),
    "generator_function": (("softmax",), "the NLL is a code length only under a softmax"),
    "label_smoothing": ((0.0,), "a smoothed loss is not a code length"),
    "src_feats_vocab": ((None,), "the rate does not count features of words"),
    "truncated_decoder": ((0,), "truncation would encode, and count, a sentence several times"),
}


def has_slots(opt: Namespace) -> bool:
    """Return whether X comes from learned queries, and not from an RNN's last states."""
    return bool(opt.encoder_type == TRANSFORMER or opt.bottleneck_slots > 1)


def has_attention(opt: Namespace) -> bool:
    """Return whether the decoder reads the bottleneck's output by attention."""
    return bool(opt.decoder_type == "transformer" or opt.global_attention != "none")


def representation_dim(opt: Namespace) -> int:
    """Return m, the dimension of X."""
    if has_slots(opt):
        return int(opt.bottleneck_slots * opt.enc_rnn_size)
    states = 2 if opt.rnn_type == "LSTM" else 1
    layers = 1 if opt.bottleneck_site == "top" else opt.enc_layers
    return int(opt.enc_rnn_size * layers * states)


def make_bottleneck_from_opt(opt: Namespace) -> Bottleneck:
    """Return the bottleneck of ``opt``; refuse options of other bottlenecks."""
    cls = bottleneck_class(opt.bottleneck)
    for name, options in bottleneck_options().items():
        value = getattr(opt, name, None)
        if value is not None and opt.bottleneck not in options:
            raise UserError(
                f"-{name} {value}: -bottleneck {opt.bottleneck} has no such option "
                f"(it belongs to {', '.join(options)}); leave it out"
            )
    return cls(representation_dim(opt), from_options(cls.Config, opt))


def bottleneck_settings(opt: Namespace) -> dict[str, Any]:
    """Return the options of the bottleneck, its site and its slots, with their defaults."""
    settings = from_options(bottleneck_class(opt.bottleneck).Config, opt)
    slots = {"bottleneck_slots": opt.bottleneck_slots} if has_slots(opt) else {}
    return {"bottleneck_site": opt.bottleneck_site, **slots, **dataclasses.asdict(settings)}


def bottleneck_label(opt: Namespace) -> str:
    """Return the name of the bottleneck in tables and plots, such as ``lattice E8``."""
    return bottleneck_class(opt.bottleneck).label(bottleneck_settings(opt))


def check_model_options(opt: Namespace) -> None:
    """Check the options of a model; add missing ones with their defaults, as OpenNMT-py does."""
    options = vars(opt)
    for action in train_parser()._actions:
        if action.dest != "help":
            options.setdefault(action.dest, action.default)
    check_ranges(options, RANGES)
    _check_single_path(opt)
    try:
        ArgumentParser.update_model_opts(opt)
        ArgumentParser.validate_model_opts(opt)
    except AssertionError as error:
        raise UserError(str(error)) from error
    _check_sizes(opt)


def _check_single_path(opt: Namespace) -> None:
    """Refuse any option that opens a second path from encoder to decoder."""
    for name, (allowed, reason) in SINGLE_PATH.items():
        value = getattr(opt, name)
        if value not in allowed and (value or allowed[0]):
            expected = " or ".join(map(str, allowed))
            raise UserError(f"-{name} {value}: must be {expected} here, as {reason}")


def check_plain(opt: Namespace) -> None:
    """Refuse options that are not plain values, as a checkpoint cannot hold them."""
    for name, value in vars(opt).items():
        if not _is_plain(sorted(value, key=str) if isinstance(value, set) else value):
            raise UserError(
                f"-{name} {str(value)[:200]}: expected text, numbers, and lists or dictionaries of "
                f"these, as a checkpoint can hold nothing else"
            )


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | None) or (isinstance(value, int) and abs(value) < 2**63)


def _check_sizes(opt: Namespace) -> None:
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
            f"-enc_rnn_size {opt.enc_rnn_size}: expected an even number, for two directions"
        )
    _check_attention(opt)
    if opt.bottleneck_site == "all" and opt.enc_layers != opt.dec_layers:
        raise UserError(
            f"-bottleneck_site all: expected as many decoder layers as encoder layers, "
            f"got {opt.dec_layers} and {opt.enc_layers}"
        )


def _check_attention(opt: Namespace) -> None:
    """Refuse slots that no attention reads, and transformers that cannot be built."""
    transformers = {
        "src": opt.encoder_type == TRANSFORMER,
        "tgt": opt.decoder_type == "transformer",
    }
    if opt.bottleneck_slots > 1 and not has_attention(opt):
        raise UserError(
            f"-bottleneck_slots {opt.bottleneck_slots}: an RNN decoder without attention reads "
            f"only the first slot; set -global_attention, to general for instance"
        )
    for name, unset in (("bottleneck_site", "top"), ("bridge", False)):
        if has_slots(opt) and getattr(opt, name) != unset:
            raise UserError(
                f"-{name} {getattr(opt, name)}: is for an RNN's last states, but slots read its "
                f"outputs; leave it out"
            )
    if (has_slots(opt) or transformers["tgt"]) and opt.enc_rnn_size % opt.heads:
        raise UserError(
            f"-heads {opt.heads}: expected a divisor of -rnn_size {opt.enc_rnn_size}, which the "
            f"heads of attention share"
        )
    for side in (side for side, used in transformers.items() if used):
        if (size := getattr(opt, f"{side}_word_vec_size")) != opt.enc_rnn_size:
            raise UserError(
                f"-{side}_word_vec_size {size}: expected -rnn_size, {opt.enc_rnn_size}, as word "
                f"vectors are the inputs of a transformer"
            )
    if any(transformers.values()) and not (opt.position_encoding or opt.max_relative_positions):
        raise UserError(
            "-position_encoding false: a transformer needs it to know the order of words"
        )
