"""The parsers of the commands with OpenNMT-py's options and ours."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onmt.opts
from onmt.utils.parse import ArgumentParser

from onmt_lattice.bottlenecks import bottlenecks
from onmt_lattice.config import COUNT, Config, Option, Range, declared, option
from onmt_lattice.opennmt.options.parsing import StrictParser, parse

AUTO, NEVER = "auto", "never"  # -resume

TF32, BF16 = "tf32", "bf16"  # -model_dtype
BRNN, TRANSFORMER = "bottleneck_brnn", "bottleneck_transformer"  # -encoder_type

# Defaults that differ from OpenNMT-py's, for autoencoders and the paper's settings.
TRAIN_DEFAULTS: dict[str, Any] = {
    "encoder_type": BRNN,
    "rnn_type": "GRU",
    "global_attention": "none",
    "input_feed": 0,
    "share_vocab": True,
    "dropout": [0.0],
    "attention_dropout": [0.0],
    "optim": "adam",
    "learning_rate": 1e-4,
    "learning_rate_decay": 0.75,
    "start_decay_steps": 100_000,
    "decay_steps": 50_000,
    "train_steps": 500_000,
}
# Without these a transformer does not know the order of words, or hardly learns.
TRANSFORMER_DEFAULTS: dict[str, Any] = {
    "decoder_type": "transformer",
    "position_encoding": True,
    "param_init": 0.0,
    "param_init_glorot": True,
}
BUILD_VOCAB_DEFAULTS: dict[str, Any] = {"share_vocab": True, "n_sample": -1}
TRANSLATE_DEFAULTS: dict[str, Any] = {"seed": 0, "beam_size": 1}  # as evaluate


# λ over its asymptote, after t midpoints: 0.5 at t = 1. The logistic one begins at 0.0067.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda t: 1.0,
    "logistic": lambda t: 1.0 / (1.0 + math.exp(5.0 * (1.0 - t))),
    "hyperbolic": lambda t: t / (1.0 + t),
}


@dataclass(frozen=True)
class RateWeight(Config):
    """λ as a function of the training step."""

    asymptote: float = option(
        1.0,
        "limit of lambda; NLL and rate are in the same unit",
        range=Range(0),
        name="rate_weight",
    )
    schedule: str = option(
        "logistic",
        "schedule of lambda; logistic: near 0 at first, half at the midpoint",
        list(SCHEDULES),
        name="rate_weight_schedule",
    )
    midpoint: int = option(
        100_000,
        "training step at which lambda is half of -rate_weight",
        range=COUNT,
        name="rate_weight_midpoint",
    )

    def __call__(self, step: int) -> float:
        """Return λ at ``step``."""
        return self.asymptote * SCHEDULES[self.schedule](step / self.midpoint)


@dataclass(frozen=True)
class RunOptions(Config):
    """Our options of a training run."""

    log_json: str = option(
        "",
        "write every report and validation to this file as well, one JSON object per line; a "
        "resumed run continues it",
        metavar="FILE",
    )
    resume: str = option(
        NEVER,
        "auto: resume from the newest complete checkpoint under -save_model, if there is one; "
        "never: refuse to start where there are checkpoints",
        [NEVER, AUTO],
    )


def add_options(parser: ArgumentParser, title: str, config: type[Config]) -> None:
    """Add a group of the options of ``config``."""
    group = parser.add_argument_group(title)
    for declaration in declared(config).values():
        declaration.add_to(group)


def add_bottleneck_options(parser: ArgumentParser) -> None:
    """Add ``-bottleneck``, common options, and those that each bottleneck declares.

    An option that is not given is None, and gets the default of the bottleneck.
    """
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
        help="X without slots: the top encoder layer's final state in both directions, from which "
        "every decoder layer starts (top), or every layer's (all)",
    )
    group.add(
        "-bottleneck_slots",
        "--bottleneck_slots",
        type=int,
        default=1,
        metavar="K",
        help="make X of K vectors, by K learned queries of the encoder's outputs; the decoder's "
        "attention reads them. 1 with an RNN encoder: its final states",
    )
    for options in bottleneck_options().values():
        owners = "" if len(options) == len(known) else f" [{', '.join(options)}]"
        by_default: dict[Any, list[str]] = {}
        for owner, declaration in options.items():
            by_default.setdefault(declaration.default, []).append(owner)
        defaults = [f"{default} for {', '.join(names)}" for default, names in by_default.items()]
        default = "; ".join(defaults) if len(by_default) > 1 else str(next(iter(by_default)))
        first = next(iter(options.values()))
        help = f"{first.help}{owners} (default: {default})"
        first._replace(default=None, help=help).add_to(group)


def bottleneck_options() -> dict[str, dict[str, Option]]:
    """Return the options of all bottlenecks by their names, then by the bottleneck's name."""
    options: dict[str, dict[str, Option]] = {}
    for owner, cls in bottlenecks().items():
        for name, declaration in declared(cls.Config).items():
            options.setdefault(name, {})[owner] = declaration
    return options


def train_parser(**defaults: Any) -> StrictParser:
    """Return the parser of ``onmt_lattice train``, with ``defaults`` over its own."""
    parser = StrictParser(
        prog="onmt_lattice train",
        usage="%(prog)s -config FILE [-option VALUE ...]",
        description="Train a model of sentences with a bottleneck: an autoencoder, unless the "
        "corpora name targets (path_tgt). NLL, rate and their total are reported in bits per "
        "target token, end of sentence included.",
        epilog="example: onmt_lattice train -config my.yaml -bottleneck gaussian "
        "-save_model runs/gaussian/model",
    )
    add_bottleneck_options(parser)
    add_options(parser, "Objective: NLL + lambda * rate", RateWeight)
    add_options(parser, "History and resumption", RunOptions)
    onmt.opts.train_opts(parser)  # after ours, as --help lists them in this order
    actions = {action.dest: action for action in parser._actions}
    for name, choices in (("encoder_type", [BRNN, TRANSFORMER]), ("model_dtype", [TF32, BF16])):
        actions[name].choices = [*(actions[name].choices or ()), *choices]
    actions["rnn_type"].choices = ["LSTM", "GRU"]  # SRU needs a GPU, and further packages
    actions["model_dtype"].help = (
        "precision of matrix products in training: single (fp32), TF32 on GPUs (tf32), bfloat16 "
        "(bf16) or half on GPUs (fp16); the bottleneck, the weights, the rate and evaluation have "
        "single precision or more"
    )
    parser.set_defaults(**{**TRAIN_DEFAULTS, **defaults})
    return parser


def parse_train(argv: list[str]) -> Namespace:
    """Return the options in ``argv``, whose YAML file may have options of other commands too.

    If the encoder or the decoder is a transformer, the defaults are those of transformers.
    """

    def parsed(defaults: dict[str, Any]) -> Namespace:
        return parse(
            lambda: train_parser(**defaults),
            argv,
            also_in_config=(build_vocab_parser, translate_parser),
            # In YAML the number of lines for build_vocab; for train: write samples and stop.
            ignored_in_config=frozenset({"n_sample"}),
        )

    opt = parsed({})
    if opt.encoder_type == TRANSFORMER or opt.decoder_type == "transformer":
        opt = parsed(TRANSFORMER_DEFAULTS)
    return opt


def build_vocab_parser() -> StrictParser:
    """Return the parser of ``onmt_lattice build_vocab``."""
    parser = StrictParser(
        prog="onmt_lattice build_vocab",
        description="Count the tokens of the training corpora, one '<token>\\t<count>' per line. "
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
        "onmt_translate does. -seed and the line number determine the dither. Lengths are in "
        "tokens, scores in nats.",
        epilog="example: onmt_lattice translate -src runs/demo/text/test.en -output pred.txt "
        "-model runs/demo/gaussian_0.2_seed1/model_step_1500.safetensors -beam_size 1",
    )
    onmt.opts.config_opts(parser)
    onmt.opts.translate_opts(parser)
    parser.set_defaults(**TRANSLATE_DEFAULTS)
    return parser
