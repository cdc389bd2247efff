"""Options: OpenNMT-py's own plus ours, and the door where they become objects."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from typing import Any

import onmt.opts
from onmt.utils.parse import ArgumentParser

from onmt_lattice.bottlenecks import Bottleneck, bottleneck_class, bottlenecks, make_bottleneck
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.parsing import StrictParser, parse
from onmt_lattice.schedules import SCHEDULES, RateWeight

ENCODER_TYPE = "bottleneck_brnn"

# Where an autoencoder through a bottleneck, or the paper's settings, differ from OpenNMT-py's
# defaults. Anything given in YAML or on the command line goes before them.
TRAIN_DEFAULTS: dict[str, Any] = {
    "encoder_type": ENCODER_TYPE,
    "rnn_type": "GRU",
    "global_attention": "none",
    "input_feed": 0,
    "share_vocab": True,
    "dropout": [0.0],
    "optim": "adam",
    "learning_rate": 1e-4,
    "learning_rate_decay": 0.75,
    "start_decay_steps": 100_000,
    "decay_steps": 50_000,
    "train_steps": 500_000,
}
BUILD_VOCAB_DEFAULTS: dict[str, Any] = {"share_vocab": True, "n_sample": -1}
TRANSLATE_DEFAULTS: dict[str, Any] = {"seed": 0}

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
    "truncated_decoder": (0, "truncation would encode, and pay for, a sentence several times"),
}


DIM_HELP = "dimension d between the maps m -> d -> m; 0 for m, or for m/4 with -bottleneck lattice"


def add_bottleneck_options(parser: ArgumentParser) -> None:
    """Add ``-bottleneck``, its common options, and those each bottleneck declares."""
    known = bottlenecks()
    group = parser.add_argument_group("Bottleneck")
    summaries = "; ".join(f"{name}: {cls.summary}" for name, cls in known.items())
    group.add(
        "-bottleneck", "--bottleneck", default="gaussian", choices=list(known), help=summaries
    )
    group.add(
        "-bottleneck_site",
        "--bottleneck_site",
        default="top",
        choices=["top", "all"],
        help="what X is: the top encoder layer's final state in both directions, from which every "
        "decoder layer starts (top), or every layer's (all)",
    )
    for name, (field, owners) in declared_options().items():
        choices = field.metadata.get("choices")
        text = field.metadata.get("help", DIM_HELP)
        owned = "" if len(owners) == len(known) else f" [{', '.join(owners)}]"
        group.add(
            f"-{name}",
            f"--{name}",
            type=type(field.default),
            default=None,
            choices=choices() if choices else None,
            help=f"{text}{owned} (default: {_defaults(name)})",
        )


def _defaults(option: str) -> str:
    """Return the default of an option, and that of each bottleneck where they differ."""
    owners: dict[Any, list[str]] = {}
    for name, cls in bottlenecks().items():
        for field in dataclasses.fields(cls.Config):
            if field.name == option:
                owners.setdefault(field.default, []).append(name)
    if len(owners) == 1:
        return str(next(iter(owners)))
    return "; ".join(f"{default} for {', '.join(names)}" for default, names in owners.items())


def declared_options() -> dict[str, tuple[dataclasses.Field[Any], list[str]]]:
    """Return each bottleneck option's field and the bottlenecks that have it."""
    options: dict[str, tuple[dataclasses.Field[Any], list[str]]] = {}
    for name, cls in bottlenecks().items():
        for field in dataclasses.fields(cls.Config):
            options.setdefault(field.name, (field, []))[1].append(name)
    return options


def add_objective_options(parser: ArgumentParser) -> None:
    """Add the options of λ, the weight of the rate."""
    group = parser.add_argument_group("Objective: NLL + lambda * rate")
    group.add(
        "-rate_weight",
        "--rate_weight",
        type=float,
        default=1.0,
        help="what lambda tends to; NLL and rate are in the same unit",
    )
    group.add(
        "-rate_weight_schedule",
        "--rate_weight_schedule",
        default="logistic",
        choices=list(SCHEDULES),
        help="how lambda gets there; logistic: near 0 at first, half at the midpoint",
    )
    group.add(
        "-rate_weight_midpoint",
        "--rate_weight_midpoint",
        type=int,
        default=100_000,
        help="training step at which lambda is half of -rate_weight",
    )


def train_parser() -> StrictParser:
    """Return the parser of ``onmt_lattice train``."""
    parser = StrictParser(
        prog="onmt_lattice train",
        description="Train a sentence autoencoder through a bottleneck. NLL, rate and their total "
        "are reported in bits a target token, end of sentence included.",
        epilog="example: onmt_lattice train -config my.yaml -bottleneck gaussian "
        "-save_model runs/gaussian/model",
    )
    onmt.opts.train_opts(parser)
    encoder_type = next(a for a in parser._actions if a.dest == "encoder_type")
    encoder_type.choices = [*encoder_type.choices, ENCODER_TYPE]
    add_bottleneck_options(parser)
    add_objective_options(parser)
    parser.add_argument_group("History").add(
        "-log_json",
        "--log_json",
        default="",
        metavar="FILE",
        help="write every report and validation to this file too, a JSON object a line; a resumed "
        "run goes on in it",
    )
    parser.set_defaults(**TRAIN_DEFAULTS)
    return parser


def parse_train(argv: list[str]) -> Namespace:
    """Return the options in ``argv``; its YAML file may hold those of the other commands too."""
    return parse(
        train_parser,
        argv,
        also_in_config=(build_vocab_parser, translate_parser),
        # How many lines build_vocab counts; to train it means: write samples and stop.
        not_of_config=frozenset({"n_sample"}),
    )


def build_vocab_parser() -> StrictParser:
    """Return the parser of ``onmt_lattice build_vocab``."""
    parser = StrictParser(
        prog="onmt_lattice build_vocab",
        description="Count the tokens of the training corpora, one '<token>\\t<count>' a line. "
        "Reads the same YAML as train.",
        epilog="example: onmt_lattice build_vocab -config my.yaml -src_vocab vocab.txt",
    )
    onmt.opts.dynamic_prepare_opts(parser, build_vocab_only=True)
    next(a for a in parser._actions if a.dest == "save_data").required = False
    parser.set_defaults(**BUILD_VOCAB_DEFAULTS)
    return parser


def translate_parser() -> StrictParser:
    """Return the parser of ``onmt_lattice translate``."""
    parser = StrictParser(
        prog="onmt_lattice translate",
        description="Decode every sentence from its quantized representation, as "
        "onmt_translate does. The dither comes from -seed and the line number alone. Lengths are "
        "in tokens, scores in nats.",
        epilog="example: onmt_lattice translate -src runs/demo/text/test.en -output pred.txt "
        "-model runs/demo/gaussian_annealed_seed1/model_step_3000.pt -beam_size 1",
    )
    onmt.opts.config_opts(parser)
    onmt.opts.translate_opts(parser)
    parser.set_defaults(**TRANSLATE_DEFAULTS)
    return parser


# ---- the door: options to objects ----------------------------------------------------------------


def representation_dim(opt: Namespace) -> int:
    """Return m, how many numbers X holds."""
    states = 2 if opt.rnn_type == "LSTM" else 1
    layers = 1 if opt.bottleneck_site == "top" else opt.enc_layers
    return opt.enc_rnn_size * layers * states


def make_bottleneck_from_opt(opt: Namespace, input_dim: int) -> Bottleneck:
    """Return the bottleneck that ``opt`` asks for, checking that it has every option given."""
    valid = {field.name for field in dataclasses.fields(bottleneck_class(opt.bottleneck).Config)}
    given = {}
    for name, (_, owners) in declared_options().items():
        value = getattr(opt, name, None)
        if value is None:
            continue
        if name not in valid:
            raise UserError(
                f"-{name} {value}: -bottleneck {opt.bottleneck} has no such option "
                f"(it belongs to {', '.join(owners)}); leave it out"
            )
        given[name] = value
    return make_bottleneck(opt.bottleneck, input_dim, **given)


def bottleneck_settings(opt: Namespace) -> dict[str, Any]:
    """Return the bottleneck's site and every option of its own, defaults filled in."""
    config = bottleneck_class(opt.bottleneck).Config
    given = {f.name: getattr(opt, f.name, None) for f in dataclasses.fields(config)}
    settings = config(**{name: value for name, value in given.items() if value is not None})
    return {"bottleneck_site": opt.bottleneck_site, **dataclasses.asdict(settings)}


def bottleneck_label(opt: Namespace) -> str:
    """Return what tables and plots call the bottleneck, such as ``lattice E8``."""
    return bottleneck_class(opt.bottleneck).label(bottleneck_settings(opt))


def rate_weight_from_opt(opt: Namespace) -> RateWeight:
    """Return λ as ``opt`` asks for it."""
    return RateWeight(opt.rate_weight, opt.rate_weight_schedule, opt.rate_weight_midpoint)


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


def check_shapes(opt: Namespace) -> None:
    """Refuse encoder and decoder shapes that do not fit, before any data is read."""
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
    make_bottleneck_from_opt(opt, representation_dim(opt))
    rate_weight_from_opt(opt)
