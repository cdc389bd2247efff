"""Parsers of the options: OpenNMT-py's own plus ours."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import onmt.opts
from onmt.utils.parse import ArgumentParser

from onmt_lattice.bottlenecks import bottlenecks
from onmt_lattice.config import Config, Option, declared, option
from onmt_lattice.opennmt.options.parsing import StrictParser, parse
from onmt_lattice.opennmt.options.schedules import RateWeight

AUTO, NEVER = "auto", "never"  # -resume

TF32, BF16 = "tf32", "bf16"  # -model_dtype
BRNN, TRANSFORMER = "bottleneck_brnn", "bottleneck_transformer"  # -encoder_type

# Where an autoencoder through a bottleneck, or the paper's settings, differ from OpenNMT-py's
# defaults. Anything given in YAML or on the command line goes before them.
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
# Without these a transformer knows no order of words, or hardly learns.
TRANSFORMER_DEFAULTS: dict[str, Any] = {
    "decoder_type": "transformer",
    "position_encoding": True,
    "param_init": 0.0,
    "param_init_glorot": True,
}
BUILD_VOCAB_DEFAULTS: dict[str, Any] = {"share_vocab": True, "n_sample": -1}
TRANSLATE_DEFAULTS: dict[str, Any] = {"seed": 0, "beam_size": 1}  # as evaluate


@dataclass(frozen=True)
class RunOptions(Config):
    """Options of a training run of our own."""

    log_json: str = option(
        "",
        "write every report and validation to this file too, a JSON object a line; a resumed run "
        "continues in it",
        metavar="FILE",
    )
    resume: str = option(
        NEVER,
        "auto: resume from the newest whole checkpoint under -save_model, if there is one; without "
        "it, a run does not start where there are checkpoints",
        [NEVER, AUTO],
    )


def add_options(parser: ArgumentParser, title: str, config: type[Config]) -> None:
    """Add a group of the options of ``config``."""
    group = parser.add_argument_group(title)
    for each in declared(config).values():
        each.add_to(group)


def add_bottleneck_options(parser: ArgumentParser) -> None:
    """Add ``-bottleneck``, its common options, and those each bottleneck declares.

    One that is not given is None, and has the default of the bottleneck.
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
        help="what X is without slots: the top encoder layer's final state in both directions, "
        "from which every decoder layer starts (top), or every layer's (all)",
    )
    group.add(
        "-bottleneck_slots",
        "--bottleneck_slots",
        type=int,
        default=1,
        metavar="K",
        help="make X of K vectors: what as many learned queries find in the encoder's outputs; "
        "attention of the decoder reads as many. 1 with an RNN encoder: its final states",
    )
    for options in bottleneck_options().values():
        owned = "" if len(options) == len(known) else f" [{', '.join(options)}]"
        owners: dict[Any, list[str]] = {}
        for owner, each in options.items():
            owners.setdefault(each.default, []).append(owner)
        different = [f"{default} for {', '.join(names)}" for default, names in owners.items()]
        default = "; ".join(different) if len(owners) > 1 else str(next(iter(owners)))
        first = next(iter(options.values()))
        help = f"{first.help}{owned} (default: {default})"
        first._replace(default=None, help=help).add_to(group)


def bottleneck_options() -> dict[str, dict[str, Option]]:
    """Return each option of a bottleneck: by its name, that of every bottleneck that has it."""
    options: dict[str, dict[str, Option]] = {}
    for owner, cls in bottlenecks().items():
        for name, each in declared(cls.Config).items():
            options.setdefault(name, {})[owner] = each
    return options


def train_parser(**defaults: Any) -> StrictParser:
    """Return the parser of ``onmt_lattice train``, with other ``defaults`` than its own."""
    parser = StrictParser(
        prog="onmt_lattice train",
        usage="%(prog)s -config FILE [-option VALUE ...]",
        description="Train a model of sentences through a bottleneck, an autoencoder unless the "
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
    for name, more in (("encoder_type", [BRNN, TRANSFORMER]), ("model_dtype", [TF32, BF16])):
        actions[name].choices = [*(actions[name].choices or ()), *more]
    actions["rnn_type"].choices = ["LSTM", "GRU"]  # SRU needs a GPU, and packages of its own
    actions["model_dtype"].help = (
        "how training multiplies matrices: in single precision (fp32), on GPUs in TF32 (tf32), in "
        "bfloat16 (bf16) or in half precision (fp16, on GPUs); the bottleneck, the weights, the "
        "rate and evaluation are in single precision or more"
    )
    parser.set_defaults(**{**TRAIN_DEFAULTS, **defaults})
    return parser


def parse_train(argv: list[str]) -> Namespace:
    """Return the options in ``argv``; its YAML file may hold those of the other commands too.

    Where the encoder or the decoder is a transformer, defaults are those of one.
    """

    def parsed(defaults: dict[str, Any]) -> Namespace:
        return parse(
            lambda: train_parser(**defaults),
            argv,
            also_in_config=(build_vocab_parser, translate_parser),
            # How many lines build_vocab counts; to train it means: write samples and stop.
            not_of_config=frozenset({"n_sample"}),
        )

    opt = parsed({})
    if opt.encoder_type == TRANSFORMER or opt.decoder_type == "transformer":
        opt = parsed(TRANSFORMER_DEFAULTS)
    return opt


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
        "-model runs/demo/gaussian_0.2_seed1/model_step_1500.safetensors -beam_size 1",
    )
    onmt.opts.config_opts(parser)
    onmt.opts.translate_opts(parser)
    parser.set_defaults(**TRANSLATE_DEFAULTS)
    return parser
