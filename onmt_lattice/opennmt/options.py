"""Options: OpenNMT-py's own plus ours, read strictly, and the door where they become objects."""

from __future__ import annotations

import dataclasses
import os
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import onmt.opts
import yaml
from onmt.constants import CorpusName
from onmt.transforms import AVAILABLE_TRANSFORMS
from onmt.utils.parse import ArgumentParser

from onmt_lattice.bottlenecks import Bottleneck, bottleneck_class, bottlenecks, make_bottleneck
from onmt_lattice.errors import UserError, unknown_name
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

# OpenNMT-py knows more: prefixes would make target and source differ, features and alignments are
# no part of the text.
CORPUS_KEYS = frozenset("path_src path_tgt transforms weight".split())

# Options of subword segmentation, each for both sides, with OpenNMT-py's defaults.
SEGMENTATION: dict[str, Any] = {
    "subword_model": None,
    "subword_vocab": "",
    "vocab_threshold": 0,
    "subword_nbest": 1,
    "subword_alpha": 0,
    "subword_type": "none",
    "onmttok_kwargs": "{'mode': 'none'}",
}

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


class StrictParser(ArgumentParser):
    """OpenNMT-py's parser whose errors are :class:`UserError`, and which takes no abbreviations."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UserError` with ``message``."""
        raise UserError(message)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Return no option for an abbreviation; ``allow_abbrev`` stops those of two dashes only."""
        return []

    def names(self) -> set[str]:
        """Return every long option name, without dashes."""
        return {s.lstrip("-") for a in self._actions for s in a.option_strings}


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
            help=f"{text}{owned} (default: {field.default})",
        )


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
        epilog="example: onmt_lattice train -config configs/demo/gaussian.yaml",
    )
    onmt.opts.train_opts(parser)
    encoder_type = next(a for a in parser._actions if a.dest == "encoder_type")
    encoder_type.choices = [*encoder_type.choices, ENCODER_TYPE]
    add_bottleneck_options(parser)
    add_objective_options(parser)
    parser.set_defaults(**TRAIN_DEFAULTS)
    return parser


def build_vocab_parser() -> StrictParser:
    """Return the parser of ``onmt_lattice build_vocab``."""
    parser = StrictParser(
        prog="onmt_lattice build_vocab",
        description="Count the tokens of the training corpora, one '<token>\\t<count>' a line. "
        "Reads the same YAML as train.",
        epilog="example: onmt_lattice build_vocab -config configs/demo/gaussian.yaml",
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
        epilog="example: onmt_lattice translate -model runs/demo/gaussian/model_step_3000.pt "
        "-src data/grammar/test.en -output pred.txt -beam_size 1",
    )
    onmt.opts.config_opts(parser)
    onmt.opts.translate_opts(parser)
    parser.set_defaults(**TRANSLATE_DEFAULTS)
    return parser


# ---- reading YAML and command line strictly ------------------------------------------------------


def read_config(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the settings of a YAML file, those of the file its ``base`` names beneath.

    ``base`` is relative to the file that names it; ``above`` are the files that led here.

    Raises:
        UserError: if the file is missing, not YAML, not a mapping, or its own base.
    """
    if path.resolve() in above:
        raise UserError(f"-config {path}: is its own 'base'")
    try:
        with open(path, encoding="utf-8") as file:
            settings = yaml.safe_load(file)
    except OSError as error:
        raise UserError(f"-config {path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"-config {path}: not valid YAML: {error}") from error
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise UserError(
            f"-config {path}: expected 'option: value' lines, got a {type(settings).__name__}"
        )
    base = settings.pop("base", None)
    if base is None:
        return settings
    if not isinstance(base, str):
        raise UserError(f"-config {path}: base {base!r}: expected the path of one YAML file")
    return {**read_config(path.parent / base, (*above, path.resolve())), **settings}


def check_keys(path: Path, settings: dict[str, Any], valid: set[str]) -> None:
    """Raise :class:`UserError` for the first key that is no option or has no value."""
    for key, value in settings.items():
        if key not in valid:
            raise _unknown(f"option in {path}", str(key), valid)
        if value is None:
            raise UserError(f"{path}: {key}: expected a value; leave the line out for the default")


def _unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """Return the error for an unknown option; the hundreds of valid ones are in ``--help``."""
    message = str(unknown_name(kind, name, valid)).split(" (valid:")[0]
    return UserError(f"{message} (--help lists the options)")


def parse(
    make_parser: Callable[[], StrictParser],
    argv: list[str],
    also_in_config: Iterable[Callable[[], StrictParser]] = (),
    not_of_config: frozenset[str] = frozenset(),
) -> Namespace:
    """Parse ``argv`` and the YAML file that its ``-config`` names.

    Args:
        make_parser: builds the parser.
        argv: the words behind the subcommand.
        also_in_config: parsers whose options may stand in the YAML file too, and are ignored.
        not_of_config: options of ``make_parser`` that mean those of another parser in a YAML file.

    Raises:
        UserError: for an unknown option or key, or a value that is out of its range.
    """
    parser = make_parser()
    path, rest = _take_config(argv)
    settings: dict[str, Any] = {}
    if path is not None and not {"-h", "--help"} & set(rest):
        settings = read_config(path)
        valid = parser.names().union(*(make().names() for make in also_in_config))
        check_keys(path, settings, valid)
        names = parser.names() - not_of_config
        # YAML is read as if it stood on the command line, which has no way to say an empty list.
        settings = {
            k: v
            for k, v in settings.items()
            if k in names and not (v == [] == parser.get_default(k))
        }
        # A flag that is false in YAML is not set; one that is true by default has to be told.
        parser.set_defaults(**{k: False for k, v in settings.items() if v is False})
    try:
        opt, unknown = parser.parse_known_args(
            rest, config_file_contents=yaml.safe_dump(settings, sort_keys=False), env_vars={}
        )
    except AssertionError as error:  # such as for an optional package of OpenNMT-py's
        raise UserError(str(error)) from error
    for word in unknown:
        if word.startswith("-"):
            raise _unknown("option", word.split("=")[0].lstrip("-"), parser.names())
        raise UserError(f"unexpected word {word!r} on the command line; options start with '-'")
    opt.config = None if path is None else str(path)
    return opt


def _take_config(argv: list[str]) -> tuple[Path | None, list[str]]:
    """Split ``-config FILE`` off ``argv``."""
    path, rest, words = None, [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in ("-config", "--config"):
            rest.append(word)
            continue
        if path is not None:
            raise UserError("-config is given twice; let one file name the other as its 'base'")
        path = Path(value if equals else next(words, ""))
        if path == Path(""):
            raise UserError("-config: expected a path behind it")
    return path, rest


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


def read_corpora(opt: Namespace) -> dict[str, dict[str, Any]]:
    """Return what ``-data`` says of each corpus, transforms and weight filled in.

    Raises:
        UserError: naming the corpus and key that is wrong.
    """
    try:
        corpora = yaml.safe_load(opt.data)
    except yaml.YAMLError as error:
        raise UserError(f"-data {opt.data!r}: not valid YAML: {error}") from error
    if not isinstance(corpora, dict):
        raise UserError(f"-data: expected corpora as 'name: {{path_src: FILE}}', got {opt.data!r}")
    if not set(corpora) - {CorpusName.VALID}:
        raise UserError(f"-data: expected a training corpus beside {CorpusName.VALID!r}")
    for name, corpus in corpora.items():
        if not isinstance(corpus, dict):
            raise UserError(f"data.{name}: expected 'path_src: FILE', got {corpus!r}")
        for key in corpus:
            if key not in CORPUS_KEYS:
                raise unknown_name(f"key of data.{name}", str(key), CORPUS_KEYS)
        corpus.setdefault("transforms", opt.transforms)
        corpus.setdefault("weight", 1)
        _check_corpus(name, corpus)
    return corpora


def _check_corpus(name: str, corpus: dict[str, Any]) -> None:
    source, transforms, weight = (corpus.get(k) for k in ("path_src", "transforms", "weight"))
    if not isinstance(source, str):
        raise UserError(f"data.{name}.path_src {source!r}: expected the path of a text")
    if not os.path.isfile(source):
        raise UserError(f"data.{name}.path_src {source}: no such file")
    with open(source, "rb") as file:
        if not any(line.split() for line in file):
            raise UserError(f"data.{name}.path_src {source}: no sentence in it")
    if corpus.get("path_tgt", source) != source:
        raise UserError(
            f"data.{name}.path_tgt {corpus['path_tgt']}: an autoencoder's target is its source, "
            f"{source}; leave path_tgt out"
        )
    if not isinstance(weight, int) or weight < 1:
        raise UserError(f"data.{name}.weight {weight!r}: expected a positive integer")
    if not isinstance(transforms, list):
        raise UserError(f"data.{name}.transforms {transforms!r}: expected a list of names")
    for transform in transforms:
        if transform not in AVAILABLE_TRANSFORMS:
            raise unknown_name("transform", str(transform), AVAILABLE_TRANSFORMS)


def target_is_source(opt: Namespace) -> None:
    """Let every corpus' target be its source; refuse any other, and a vocabulary of its own.

    Raises:
        UserError: if a corpus is not as expected, or ``tgt_vocab`` differs from ``src_vocab``.
    """
    corpora = read_corpora(opt)
    for corpus in corpora.values():
        corpus["path_tgt"] = corpus["path_src"]
    for name, default in SEGMENTATION.items():
        given, source = getattr(opt, f"tgt_{name}"), getattr(opt, f"src_{name}")
        if given not in (default, source):
            raise UserError(
                f"-tgt_{name} {given}: an autoencoder's target is segmented as its source, "
                f"-src_{name} {source}; leave it out"
            )
        setattr(opt, f"tgt_{name}", source)
    for corpus in corpora.values():
        if {"bpe", "sentencepiece"} & set(corpus["transforms"]) and not opt.src_subword_model:
            raise UserError(f"-src_subword_model: expected one for {corpus['transforms']}")
    for name in ("src_subword_model", "src_subword_vocab"):
        if getattr(opt, name) and not os.path.isfile(getattr(opt, name)):
            raise UserError(f"-{name} {getattr(opt, name)}: no such file")
    opt.data = yaml.safe_dump(corpora, sort_keys=False)
    opt.transforms = []  # each corpus has its own now; OpenNMT-py fails on some of them here
    if not opt.share_vocab or opt.tgt_vocab not in (None, opt.src_vocab):
        raise UserError(
            f"-share_vocab {opt.share_vocab}, -tgt_vocab {opt.tgt_vocab}: an autoencoder has one "
            f"vocabulary, -src_vocab; leave both out"
        )
    opt.tgt_vocab = None
